"""Progress that starts late."""

from axiswise.support.progress import Progress, late_bar, no_progress


def test_a_late_bar_starts_once_and_only_when_there_is_something_to_show() -> None:
    started: list[str] = []
    seen: list[tuple[object, ...]] = []

    def start(name: str) -> Progress:
        started.append(name)
        return lambda *shown: seen.append(shown)

    progress = late_bar(start, "data")
    assert started == []
    progress(1, None)
    progress(2, 3, {"loss": 0.5})
    assert started == ["data"]
    assert seen == [(1, None, {}), (2, 3, {"loss": 0.5})]
    no_progress(1, 2)
