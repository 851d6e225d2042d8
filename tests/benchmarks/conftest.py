"""Records of our own in the formats of the data sets, and the real data where a machine has it."""

import json
import os
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def data_dir():
    folder = os.environ.get("MEMSKILL_DATA_DIR")
    if not folder:
        pytest.skip("MEMSKILL_DATA_DIR is not set: it names the folder with the real data sets")
    return Path(folder)


@pytest.fixture
def fixture_records():
    """Return the records of a fixture file, free to be changed."""

    def read(name):
        return json.loads((FIXTURES / name).read_text(encoding="utf-8"))

    return read


@pytest.fixture
def locomo_records():
    """Two small conversations."""
    return [
        {
            "sample_id": name,
            "conversation": {
                "speaker_a": "Ann",
                "speaker_b": "Ben",
                "session_1_date_time": "1:00 pm on 2 May, 2024",
                "session_1": [
                    {"speaker": "Ann", "dia_id": "D1:1", "text": "I moved to Oslo yesterday."},
                    {
                        "speaker": "Ben",
                        "dia_id": "D1:2",
                        "text": "Look!",
                        "blip_caption": "a photo of a boat",
                    },
                ],
            },
            "qa": [
                {
                    "question": "When did Ann move?",
                    "answer": "1 May 2024",
                    "evidence": ["D1:1"],
                    "category": 2,
                }
            ],
        }
        for name in ("one", "two")
    ]


@pytest.fixture
def write_json(tmp_path):
    def write(content, name="records.json"):
        path = tmp_path / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
