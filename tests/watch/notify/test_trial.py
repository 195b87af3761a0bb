"""Test messages: every receiver shows that it works, or why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import ask
from notify_scenes import AT, answer, serving

from why502.model.errors import Why502Error
from why502.watch.notify.alertmanager.settings import Settings as AlertmanagerSettings
from why502.watch.notify.settings import receivers
from why502.watch.notify.trial import Trial, chosen, try_receivers
from why502.watch.notify.webhook.settings import Settings


def test_each_receiver_is_sent_an_example_that_is_marked_as_a_test() -> None:
    with serving() as good, serving(answer(500, b"broken")) as bad:
        made = receivers(
            (
                Settings(name="good", url=good.url),
                Settings(name="bad", url=bad.url),
                AlertmanagerSettings(name="am", urls=(good.url,)),
            )
        )
        place = bad.url.removeprefix("http://")
        assert try_receivers(made, "web1", AT) == (Trial("good"), Trial("bad", f"{place}: answered 500: broken"), Trial("am"))
        body, (alert,) = (received.json for received in good.received)
        assert body["is_test"]
        assert body["title"].startswith("TEST web1: ")
        assert body["text"].startswith("This is a test message of why502 watch. Nothing has failed.")
        assert (alert["annotations"]["summary"], alert["endsAt"]) == (body["title"], "2026-11-23T03:13:30Z")


def test_one_receiver_is_chosen_by_its_name() -> None:
    made = receivers((Settings(name="one", url="http://127.0.0.1:9"), Settings(name="two", url="http://127.0.0.1:9")))
    assert [one.settings.name for one in chosen(made, "two")] == ["two"]
    assert chosen(made, None) == made
    with pytest.raises(Why502Error) as caught:
        chosen(made, "three")
    assert (caught.value.message, caught.value.hint) == ("no receiver has the name three", "Receivers in the settings: one, two.")
    with pytest.raises(Why502Error, match="no receiver is configured"):
        chosen((), None)


def test_the_command_says_for_each_receiver_what_came_of_it(tmp_path: Path) -> None:
    path = tmp_path / "watch.toml"
    with serving() as good, serving(answer(403, b"who are you?")) as bad:
        path.write_text(
            "".join(
                f'[[receivers]]\nkind = "webhook"\nname = "{name}"\nurl = "{one.url}"\n'
                for name, one in (("good", good), ("bad", bad))
            )
        )
        answered = ask("watch", "test-notify", "--settings", str(path))
        place = bad.url.removeprefix("http://")
        assert (answered.status, answered.out) == (1, f"good: accepted the message\nbad: {place}: answered 403: who are you?\n")
        assert ask("watch", "test-notify", "--settings", str(path), "good") == (0, "good: accepted the message\n", "")
        wrong = ask("watch", "test-notify", "--settings", str(path), "nobody")
        assert (wrong.status, wrong.err) == (
            2,
            "why502: no receiver has the name nobody\nReceivers in the settings: good, bad.\n",
        )
        path.write_text(path.read_text() + 'proxy = "x"\n')
        wrong = ask("watch", "test-notify", "--settings", str(path))
        assert wrong.status == 2
        assert wrong.err.startswith(f"why502: {path}:5: receivers: proxy must be a URL such as https://alerts.example/path\n")
