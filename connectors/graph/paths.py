"""Graph paths, every id quoted once and here; pure. Paths are relative to the version root, as ``$batch`` wants them."""

from __future__ import annotations

from urllib.parse import quote


def quoted(text: str) -> str:
    """An id as a segment of a path."""
    return quote(text, safe="")


def query(path: str, **options: str | int) -> str:
    """The path with system query options; ``top=5`` becomes ``$top=5``."""
    if not options:
        return path
    return path + "?" + "&".join(f"${name}={quote(str(value), safe='(),:;=/$')}" for name, value in options.items())


def user(mailbox: str) -> str:
    """The user that owns a mailbox, by id or user principal name."""
    return f"/users/{quoted(mailbox)}"


def message(mailbox: str, item_id: str) -> str:
    """One message, wherever it lies."""
    return f"{user(mailbox)}/messages/{quoted(item_id)}"


def event(mailbox: str, item_id: str) -> str:
    """One event, in whichever calendar, or one occurrence of a series."""
    return f"{user(mailbox)}/events/{quoted(item_id)}"


def calendar(mailbox: str, folder_id: str) -> str:
    """One calendar; its id is that of its folder."""
    return f"{user(mailbox)}/calendars/{quoted(folder_id)}"


def mail_folder(mailbox: str, folder_id: str) -> str:
    """One mail folder, by id or well-known name."""
    return f"{user(mailbox)}/mailFolders/{quoted(folder_id)}"


def contact(mailbox: str, contact_id: str) -> str:
    """One contact, wherever it lies."""
    return f"{user(mailbox)}/contacts/{quoted(contact_id)}"


def contacts_of(mailbox: str, folder_id: str) -> str:
    """The contacts of one folder of contacts."""
    return f"{user(mailbox)}/contactFolders/{quoted(folder_id)}/contacts"


def todo_lists(mailbox: str) -> str:
    """The To Do lists of a user."""
    return f"{user(mailbox)}/todo/lists"


def todo_tasks(mailbox: str, list_id: str) -> str:
    """The tasks of one list."""
    return f"{todo_lists(mailbox)}/{quoted(list_id)}/tasks"


def admin(mailbox_id: str) -> str:
    """A mailbox as the import and export API names it; its id goes in as it was given."""
    return f"/admin/exchange/mailboxes/{quote(mailbox_id, safe=':@')}"


def admin_folder(mailbox_id: str, folder_id: str) -> str:
    """One folder of any class."""
    return f"{admin(mailbox_id)}/folders/{quoted(folder_id)}"


def admin_item(mailbox_id: str, folder_id: str, item_id: str) -> str:
    """One item of any class."""
    return f"{admin_folder(mailbox_id, folder_id)}/items/{quoted(item_id)}"


def rules(mailbox: str) -> str:
    """The inbox rules."""
    return f"{mail_folder(mailbox, 'inbox')}/messageRules"


def rule(mailbox: str, rule_id: str) -> str:
    """One inbox rule."""
    return f"{rules(mailbox)}/{quoted(rule_id)}"


def categories(mailbox: str) -> str:
    """The list of categories."""
    return f"{user(mailbox)}/outlook/masterCategories"


def settings(mailbox: str) -> str:
    """Automatic replies, hours, time zone."""
    return f"{user(mailbox)}/mailboxSettings"


def calendar_permissions(mailbox: str) -> str:
    """Who may do what in the calendar."""
    return f"{user(mailbox)}/calendar/calendarPermissions"
