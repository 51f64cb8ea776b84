"""The questions for whole items and for their attachments, which every kind of item asks with a shape of its own; pure."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.ews.client import escape


def get_items(shape: str, ids: Sequence[str]) -> str:
    """GetItem, with what the shape asks for."""
    wanted = "".join(f'<t:ItemId Id="{escape(one)}"/>' for one in ids)
    return f"<m:GetItem>{shape}<m:ItemIds>{wanted}</m:ItemIds></m:GetItem>"


def get_attachments(ids: Sequence[str]) -> str:
    """GetAttachment, content included; of a message within also its MIME."""
    wanted = "".join(f'<t:AttachmentId Id="{escape(one)}"/>' for one in ids)
    shape = "<m:AttachmentShape><t:IncludeMimeContent>true</t:IncludeMimeContent></m:AttachmentShape>"
    return f"<m:GetAttachment>{shape}<m:AttachmentIds>{wanted}</m:AttachmentIds></m:GetAttachment>"
