"""What `footfall dead-letters` prints: counts, tables, bytes shown safely, JSON, and one sentence for a mistake."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from schemas.codec import Encoder, OutputCodec
from schemas.errors import ConfigurationError
from schemas.results import DeadLetter
from schemas.topics import APP, DEAD_LETTERS, PURCHASE, REDRIVE_HEADER
from streams.cli.console import err, out
from streams.cli.dead_letters import Asked, How, ls, redrive, show
from streams.cli.dead_letters_view import hex_lines
from streams.embedded.broker import Broker
from streams.embedded.ports import choose_port
from streams.embedded.registry import Registry
from streams.kafka.config import kafka_config
from streams.kafka.reader import TopicReader
from streams.kafka.topics import Topics, topic_specs
from streams.registration import register_schemas
from streams.settings import Settings, load_settings
from tests.schemas.records import event
from tests.streams.cli.test_main import footfall
from tests.streams.letters.shelves import letter

PARTITIONS: Final = 2
HOSTILE: Final = "\x1b]0;owned\x07[red]eve\u202e"
LETTERS: Final = [
    letter(1, letter_id="11111111-a"),
    letter(2, letter_id="11111111-b", key=b"bert", topic=APP, reason="unknown_name", detail="name: 'x' is none"),
    letter(3, letter_id="22222222-c", key=HOSTILE.encode(), detail=HOSTILE, value=b"\x1b[2Jhello" + bytes(2_000),
           value_bytes=2_009, headers=[(HOSTILE, HOSTILE.encode()), ("none", None)]),
    letter(4, letter_id="33333333-d", reason="null_key", key=None, value=None, value_bytes=None),
]  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, registry_server: Registry) -> Iterator[Settings]:
    """A broker of this module's own, with all topics."""
    with Broker(choose_port(), tmp_path_factory.mktemp("letters") / "broker.log") as broker:
        made = load_settings(
            kafka={"bootstrap": broker.bootstrap, "partitions": PARTITIONS}, registry={"url": registry_server.url}
        )
        Topics(kafka_config(made, "test")).create(topic_specs(PARTITIONS), 1)
        put(made, LETTERS)
        yield made


def put(settings: Settings, letters: list[DeadLetter]) -> None:
    codec = OutputCodec({DEAD_LETTERS: register_schemas(settings)[DEAD_LETTERS]})
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap, "partitioner": "murmur2"})
    for one in letters:
        producer.produce(DEAD_LETTERS, codec.encode_dead_letter(one), one.letter_id.encode())
    assert producer.flush(10) == 0


def records_in(settings: Settings, topic: str) -> list[Any]:
    reader = TopicReader.of(kafka_config(settings, "test"), topic)
    found = [record for some in reader.read(dict.fromkeys(range(PARTITIONS), 0)) for record in some]
    reader.close()
    return found


def test_ls_counts_reasons_first_and_then_shows_the_letters(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ls(settings, Asked(), limit=20, as_json=False) == 0
    counts, letters = capsys.readouterr().out.split("\n\n")
    assert [line.split("\t")[:3] for line in counts.splitlines()] == [
        ["unknown_currency", "2", "0"], ["null_key", "1", "0"], ["unknown_name", "1", "0"],
    ]  # fmt: skip
    rows = {row[0]: row for row in (line.split("\t") for line in letters.splitlines())}
    assert rows["11111111-b"][2:] == ["unknown_name", "app/1/2", "bert", "-", "name: 'x' is none"]
    assert rows["33333333-d"][4] == "-"
    assert len(rows) == 4


def test_what_a_customer_wrote_never_reaches_the_terminal(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ls(settings, Asked(), limit=20, as_json=False)
    show(settings, "22222222-c", whole=True, as_json=False)
    said = capsys.readouterr().out
    assert "[red]eve" in said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


def test_a_terminal_gets_tables_and_colours_and_no_markup_of_a_customer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out, "_force_terminal", True)
    monkeypatch.setattr(out, "_width", 200)
    with out.capture() as captured:
        ls(settings, Asked(), limit=2, as_json=False)
        show(settings, "22222222-c", whole=False, as_json=False)
    said = captured.get()
    assert "[red]eve" in said
    assert "2 of 4; more with --limit" in said
    assert "\x1b]" not in said
    assert "\x1b[2J" not in said


def test_filters_narrow_what_is_counted_and_shown(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    ls(settings, Asked(("unknown_currency", "null_key"), ("offset>=3", "topic=purchase")), limit=1, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert [(row["reason"], row["letters"]) for row in document["counts"]] == [("null_key", 1), ("unknown_currency", 1)]
    assert len(document["letters"]) == 1


def test_nothing_found_is_said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    ls(settings, Asked(where=("topic=social",)), limit=20, as_json=False)
    assert "none of the" in capsys.readouterr().out


def test_show_says_why_what_to_do_and_the_bytes(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(settings, "11111111-a", whole=False, as_json=False) == 0
    said = capsys.readouterr().out
    for words in (
        "reason\tunknown_currency",
        "what to do\tAdd it to `rates`",
        "from\ttopic purchase, partition 1, offset 1",
        "header trace\tt",
        "00000000  61 6e 6e 61                                      |anna|",
        "00000000  00 62 6f 64 79                                   |.body|",
    ):
        assert words in said


def test_show_cuts_a_long_value_unless_all_is_asked_for(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    show(settings, "2222", whole=False, as_json=False)
    assert "... 985 more bytes: --all" in capsys.readouterr().out
    show(settings, "2222", whole=True, as_json=False)
    assert "000007d0" in capsys.readouterr().out


def test_show_for_programs_holds_every_byte(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    show(settings, "22222222-c", whole=False, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert b64decode(document["value"]) == LETTERS[2].value
    assert b64decode(document["key"]) == LETTERS[2].key
    assert document["headers"][1] == {"name": "none", "value": None}
    assert document["customer"] == HOSTILE


def test_show_reads_a_value_under_its_schema_where_it_can(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = register_schemas(settings)
    value = Encoder(PURCHASE, ids[PURCHASE]).encode(event(PURCHASE, currency="XAU", customer_id="zoe"))
    put(settings, [letter(9, letter_id="44444444-e", topic="social", value=value)])
    show(settings, "44444444-e", whole=False, as_json=False)
    said = capsys.readouterr().out
    assert "currency\tXAU" in said
    assert "customer_id\tzoe" in said


@pytest.mark.parametrize(
    ("letter_id", "said"),
    [("9999", "There is no dead letter '9999'"), ("1111", "2 dead letters begin with '1111'"), ("11", "too short")],
)
def test_an_id_that_names_no_single_letter_is_a_users_mistake(settings: Settings, letter_id: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        show(settings, letter_id, whole=False, as_json=False)


def test_a_dry_run_sends_nothing_and_says_what_stays(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert redrive(settings, Asked(where=("topic!=social",)), How(dry_run=True)) == 0
    said = capsys.readouterr().out
    assert "purchase\tunknown_currency\t2" in said
    assert "1 stay: null_key: Make the producer key its records" in said
    assert "dry run: 3 records would be sent, nothing was" in said
    assert records_in(settings, PURCHASE) == []


def test_where_nobody_can_be_asked_nothing_is_sent(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="add --yes, or --dry-run"):
        redrive(settings, Asked(), How())
    assert records_in(settings, PURCHASE) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_at_a_terminal_it_asks_and_takes_anything_but_yes_for_no(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    monkeypatch.setattr(err, "_force_terminal", True)
    assert redrive(settings, Asked(("unknown_name",)), How()) == 0
    captured = capsys.readouterr()
    assert "Send again: 1. Go on? [y/N]" in captured.err
    assert "sent again: 0" in captured.out
    assert records_in(settings, APP) == []


def test_sent_once_and_not_again(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(("unknown_currency",), ("customer=anna", "topic=purchase"))
    assert redrive(settings, asked, How(yes=True)) == 0
    assert redrive(settings, asked, How(yes=True, as_json=True)) == 0
    first, _, second = capsys.readouterr().out.partition("{")
    assert "sent again: 1" in first
    assert json.loads("{" + second) == {
        "chosen": [], "sent": 0, "sent_before": 1, "stay": [], "dry_run": False,
    }  # fmt: skip
    (record,) = records_in(settings, PURCHASE)
    assert (record.key, record.value) == (b"anna", b"\x00body")
    assert dict(record.headers)["trace"] == b"t"
    assert dict(record.headers)[REDRIVE_HEADER] == b"11111111-a"
    ls(settings, asked, limit=5, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["counts"] == [{"reason": "unknown_currency", "letters": 1, "redriven": 1}]
    assert document["letters"][0]["redriven"] is not None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ls", "--where", "topic=purchase,ofset>=1"], "column 16: there is no field 'ofset'; did you mean offset?"),
        (["ls", "--reason", "unknown_curency"], "did you mean unknown_currency?"),
        (["redrive", "--where", "since=yesterday"], "column 7: 'yesterday' is no time"),
        (["show", "a"], "too short"),
    ],
)
def test_a_users_mistake_is_one_sentence_before_any_server_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said, error = footfall("dead-letters", *arguments, FOOTFALL_KAFKA__BOOTSTRAP=f"127.0.0.1:{choose_port()}")
    assert code == 2
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert said == ""


def test_a_broker_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = f"127.0.0.1:{choose_port()}"
    code, _, error = footfall("dead-letters", "ls", FOOTFALL_KAFKA__BOOTSTRAP=address)
    assert code == 2
    assert address in error
    assert "Traceback" not in error


def test_bytes_are_dumped_whole_and_in_ascii_only() -> None:
    content = bytes(range(256)) + b"tail"
    lines = list(hex_lines(content))
    assert bytes.fromhex("".join(line[10:57] for line in lines)) == content
    assert all(set(line) <= {chr(c) for c in range(0x20, 0x7F)} for line in lines)
    assert lines[-1].endswith("|tail|")
