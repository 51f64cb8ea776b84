"""Answers of Exchange as documents: complete and well-formed, or none. Pure."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from lxml import etree

from connectors.errors import Unavailable
from connectors.ews import classify

M = "{http://schemas.microsoft.com/exchange/services/2006/messages}"
T = "{http://schemas.microsoft.com/exchange/services/2006/types}"
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"

_TRUNCATED = b"=== Truncated Data ==="
"""What the server writes into an answer that it could not finish [MS docs: exporting items by using EWS in Exchange]."""

_OF_THE_HOST = frozenset({"Server", "Receiver", "InternalServiceFault", "ServerTooBusy", ""})
"""Fault codes of the web service framework, when Exchange itself did not come to answer."""

_HEX = rb"[0-8bBcCeEfF]|1[0-9a-fA-F]|[fF]{3}[eEfF]|[dD][89a-fA-F][0-9a-fA-F]{2}"
_DECIMAL = rb"[0-8]|1[124-9]|2[0-9]|3[01]"
_ILLEGAL = re.compile(rb"&#(?:x0*(?:%b)|0*(?:%b));|\xef\xbf[\xbe\xbf]" % (_HEX, _DECIMAL))
_HERE = "\U0010ffff"
"""Stands for a forbidden character until the document is read: the last of all signs, which XML allows and no text holds."""

_LEFT_OUT = "left-out"
_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\t\n\r")


def raise_if_truncated(text: bytes) -> None:
    """Raise Unavailable if the server wrote that it could not finish. Dear over megabytes: look only where it can be."""
    if _TRUNCATED in text:
        raise Unavailable("The source could not finish its answer.", code="truncated")


def parse(answer: bytes, *, fault: bool = False) -> Any:
    """The root element of a complete document; Unavailable if it is none. With ``fault`` a fault is what is asked for.

    Exchange writes characters that XML forbids [github.com/OfficeDev/ews-managed-api/issues/136]; those are left out at a second
    attempt, which is strict again in all else, and ``left_out`` says of which elements.
    """
    raise_if_truncated(answer)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True)
    try:
        root = etree.fromstring(answer, parser)
    except (etree.XMLSyntaxError, ValueError):
        try:
            root = _noted(etree.fromstring(_lawful(answer), parser))
        except (etree.XMLSyntaxError, ValueError) as error:
            raise Unavailable("The source's answer is no complete document.", code="malformed") from error
    if not fault and root.find(f"{SOAP}Body/{SOAP}Fault") is not None:
        raise_fault(root)
    return root


def _lawful(answer: bytes) -> bytes:
    kept = _ILLEGAL.sub(_HERE.encode(), answer.translate(None, _CONTROLS))
    return kept.decode("utf-8", "replace").encode()


def _noted(root: Any) -> Any:
    """The document without the signs that stand for what was forbidden; elements that held one bear a mark."""
    for element in root.iter("*"):
        if element.text and _HERE in element.text:
            element.text = element.text.replace(_HERE, "")
            element.set(_LEFT_OUT, "true")
        for name, value in element.items():
            if _HERE in value:
                element.set(name, value.replace(_HERE, ""))
                element.set(_LEFT_OUT, "true")
    return root


def left_out(element: Any) -> bool:
    """Whether the server sent characters within this element that XML forbids, so that they could not be read."""
    return element.get(_LEFT_OUT) is not None or element.find(f".//*[@{_LEFT_OUT}]") is not None


def raise_fault(root: Any) -> NoReturn:
    """Raise what a SOAP fault means."""
    fault = root.find(f"{SOAP}Body/{SOAP}Fault")
    if fault is None:
        raise Unavailable("the server can't answer now (http 500)", code="http 500")
    code, values = "", dict[str, str]()
    for element in fault.iter():
        name = etree.QName(element).localname if isinstance(element.tag, str) else ""
        if name == "ResponseCode":
            code = element.text or ""
        elif name == "Value":
            values[element.get("Name", "")] = element.text or ""
    if not code:
        code = (fault.findtext("faultcode") or "").rpartition(":")[2]
        if code in _OF_THE_HOST:
            raise Unavailable(f"the server can't answer now ({code})", code=code)
    classify.raise_for(code, text="", values=values, status=500)


def messages(root: Any, kind: str) -> list[Any]:
    """The response messages of an answer, in the order of the questions."""
    found = root.find(f"{SOAP}Body/{M}{kind}Response/{M}ResponseMessages")
    if found is None or not len(found):
        raise Unavailable("The source's answer has no answer in it.", code="empty")
    return list(found)


def code_of(message: Any) -> tuple[str, dict[str, str]]:
    """A response message's code and the values that came with it; ``NoError`` is success."""
    if message.get("ResponseClass") == "Success":
        return "NoError", {}
    code = message.findtext(f"{M}ResponseCode") or ""
    xml = message.find(f"{M}MessageXml")
    values = {} if xml is None else {one.get("Name", ""): one.text or "" for one in xml.iter(f"{T}Value")}
    return code, values


def check(message: Any) -> None:
    """Raise what a response message's code means, if it is no success."""
    code, values = code_of(message)
    if code != "NoError":
        classify.raise_for(code, text="", values=values)
