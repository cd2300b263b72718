from harmony_fleet.operator.records import Release


def test_a_release_is_downloaded_from_here_unless_it_is_elsewhere() -> None:
    here = Release("1.0.0", "agent-1", 10, "a" * 64, ">=3.11", "now")
    assert here.url_below("http://h/artifacts") == "http://h/artifacts/agent-1"
    away = Release("1.0.0", "", 10, "a" * 64, "", "now", "https://files.example/a")
    assert away.url_below("http://h/artifacts") == "https://files.example/a"
