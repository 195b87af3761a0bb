"""`why502 collect`: saves the evidence to one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.model.snapshot import Snapshot


@click.command()
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the bundle; - is standard output.")
@click.option("--config", "--nginx-conf", "configs", multiple=True, metavar="PATH", help="Main configuration file.")
@click.option("--log", "--error-log", "--access-log", "logs", multiple=True, metavar="PATH", help="A log file of any kind.")
@click.option("--url", "urls", multiple=True, metavar="URL", help="Also request URL through the proxy of this machine.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="ADDRESS:PORT",
    help="On a backend's machine: the local address that the proxy connects to.",
)
@click.option("--since", default="15m", show_default=True, help="Start of the time window: 15m, 2h, or an ISO time.")
@click.option("--until", default="now", show_default=True, help="End of the time window.")
@click.option("--no-probe", is_flag=True, help="Send no probe to any target.")
@click.option("--anonymize", is_flag=True, help="Also replace IP addresses, host names, e-mail addresses and user names.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the status message; json goes to standard output.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not print the status message.")
@click.option("-v", "--verbose", is_flag=True, help="Also list what could not be read.")
@click.pass_obj
def collect(
    env: Env,
    output: str,
    configs: tuple[str, ...],
    logs: tuple[str, ...],
    urls: tuple[str, ...],
    targets: tuple[str, ...],
    since: str,
    until: str,
    no_probe: bool,
    anonymize: bool,
    format_: str,
    quiet: bool,
    verbose: bool,
) -> int:
    """Save the evidence to one file, without secrets.

    The file, a bundle, can be diagnosed on any machine.

    \b
    Example: why502 collect -o web1.why502
    Example: why502 collect -o app1.why502 --target 10.0.0.5:3000
    Example: why502 diagnose --bundle web1.why502 --bundle app1.why502
    """
    from why502.bundle import save
    from why502.cli.look import look
    from why502.host.output import may_write, write

    if output != "-":
        may_write(output)
    (snapshot,) = look(env, configs=configs, logs=logs, urls=urls, targets=targets, since=since, until=until, probes=not no_probe)
    data = save(snapshot, anonymize=anonymize)
    if output == "-":
        env.write_bytes(data)
        return 0
    write(output, data)
    if format_ == "json":
        import msgspec

        result = {"schema": "why502.collected/1", "file": output, "bytes": len(data), "gaps": _gaps(snapshot)}
        env.write(msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n")
    elif not quiet:
        gaps = f", {len(snapshot.gaps)} sources could not be read" if snapshot.gaps else ""
        env.stderr.write(f"{output}: {len(data)} bytes{gaps}. Diagnose it with: why502 diagnose --bundle {output}\n")
        for gap in _gaps(snapshot) if verbose else ():
            hint = f" ({gap['hint']})" if gap["hint"] else ""
            env.stderr.write(f"  {gap['source']}: {gap['reason']}{hint}\n")
    return 0


def _gaps(snapshot: Snapshot) -> list[dict[str, str]]:
    from why502.render.words import safe

    return [{"source": safe(gap.source), "reason": safe(gap.reason), "hint": safe(gap.hint)} for gap in snapshot.gaps]
