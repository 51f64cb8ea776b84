"""Ids come back from the ledger exactly as they went in, and base64 goes in as bytes."""

from __future__ import annotations

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.packing import pack_id, pack_optional, unpack_id, unpack_optional

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@given(st.text(st.characters(codec=None)))
def test_any_text_comes_back(text: str) -> None:
    assert unpack_id(pack_id(text)) == text


@given(st.text(ALPHABET + "+/-_", max_size=12), st.sampled_from(["", "=", "==", "===", "A=", "=A", "\n", " "]))
def test_what_looks_like_base64_comes_back(text: str, end: str) -> None:
    assert unpack_id(pack_id(text + end)) == text + end


@given(st.binary(max_size=40), st.booleans(), st.booleans())
def test_base64_takes_one_byte_more_than_what_it_stands_for(raw: bytes, url_safe: bool, bare: bool) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(raw).decode()
    text = text.rstrip("=") if bare else text
    assert len(pack_id(text)) == len(raw) + 1
    assert unpack_id(pack_id(text)) == text


def test_an_id_of_the_target_takes_three_quarters() -> None:
    text = base64.urlsafe_b64encode(secrets.token_bytes(54)).decode()
    assert (len(text), len(pack_id(text))) == (72, 55)


@pytest.mark.parametrize("text", ["", "a", "=", "AB", "A B=", "é", "\ud800", "\0", "AAMk+-", "QR=="])
def test_text_that_no_encoder_writes_comes_back(text: str) -> None:
    assert unpack_id(pack_id(text)) == text


def test_nothing_stays_nothing() -> None:
    assert unpack_optional(pack_optional(None)) is None
    assert unpack_optional(pack_optional("")) == ""
