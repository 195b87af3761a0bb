"""What only lighttpd does: it serves files beside what it passes on, and its one access log has the lines of both.

Source: the wiki's pages Mod_accesslog and Docs_Configuration (conditions).
"""

from __future__ import annotations

from why502.lab.gateways.scenes import APP, Play, Scene

STATIC = "static.example"
_PAGE = "/page.txt"


def beside_files(play: Play, *does: str, listens: bool = True) -> None:
    """Serve files of another name meanwhile, in the same access log."""
    if listens:
        play.stage.backend(3000, *does)
    play.stage.write(f"/run/front{_PAGE}", "a page\n")
    play.put(APP)
    for _ in range(3):
        play.send(_PAGE, host=STATIC)
        play.send()


def answers_itself(play: Play) -> None:
    """Let the application answer 503 to one name, while files of another name are served."""
    beside_files(play, "--status", "503")


def closes(play: Play) -> None:
    """Let the application close without an answer, of which lighttpd has no line but its own 500."""
    beside_files(play, "--does", "close")


SCENES = (
    Scene(
        name="beside-files-503",
        message="the application's own 503, while files of another virtual host are served",
        build=answers_itself,
        causes=("upstream-error-status",),
    ),
    Scene(
        name="beside-files-closed",
        message="the application closes without an answer, while files of another virtual host are served",
        build=closes,
        causes=("premature-close",),
    ),
    Scene(
        name="beside-files-nothing",
        message="nothing listens, while files of another virtual host are served",
        build=lambda play: beside_files(play, listens=False),
        causes=("backend-not-running",),
    ),
)
