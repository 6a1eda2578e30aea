import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuronym._core.errors import UsageError
from neuronym._core.registry import Name, Registry, escape, parse, split, unescape


@given(st.text(max_size=40))
def test_any_text_survives_as_a_detail(text: str) -> None:
    assert unescape(escape(text)) == text
    if text and "=" not in text and text == text.strip():
        assert parse(f"folder:{escape(text)}") == Name("folder", text, {})


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5))
def test_unions_split_where_they_were_joined(parts: list[str]) -> None:
    joined = "+".join(escape(part) for part in parts)
    assert [unescape(part) for part in split(joined, "+")] == parts


def test_parameters_follow_the_detail() -> None:
    name = parse("conse:efficientnet-lite2,classes=5")
    assert name == Name("conse", "efficientnet-lite2", {"classes": "5"})
    assert parse("timm:hf-hub:some/model").detail == "hf-hub:some/model"
    assert parse(r"folder:C:\photos").detail == r"C:\photos"


def test_an_empty_detail() -> None:
    assert parse("folder:") == Name("folder")
    assert parse("folder:,labels=no") == Name("folder", "", {"labels": "no"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expected `probe` to be a name such as kind or kind:detail, got ''"),
        ("folder:a=1,b", r"written key=value.*backslash"),
        ("folder:a,", r"written key=value.*backslash"),
        ("wpmi:a=1,a=2", "'a' at most once"),
    ],
)
def test_malformed_names(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text, "probe")


def test_registry_answers_unknown_names_with_known_ones() -> None:
    things = Registry("similarity", "similarities")

    @things.register("soft-wpmi", syntax="soft-wpmi[:top_k=N]")
    def soft() -> None:
        """The first line.

        More.
        """

    things.alias("soft", "soft-wpmi:a=1")
    assert things["soft-wpmi"].summary == "The first line."
    assert things.expand("soft") == "soft-wpmi:a=1"
    assert things.expand("soft:top_k=5") == "soft-wpmi:a=1,top_k=5"
    assert things.expand("other:x") == "other:x"
    with pytest.raises(UsageError, match=r"got 'sof-wpmi'\. Nearest: soft-wpmi.*neuronym list sim"):
        things["sof-wpmi"]
    with pytest.raises(ValueError, match="registered twice"):
        things.register("soft")(soft)
