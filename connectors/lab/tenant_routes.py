"""What the tenant answers: methods and paths, whose handlers they are, and the app permissions that each wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from . import tenant_contacts as contacts
from . import tenant_delta as delta
from . import tenant_events as events
from . import tenant_folders as folders
from . import tenant_import as imports
from . import tenant_mail as mail
from . import tenant_parts as parts
from . import tenant_settings as settings
from . import tenant_todo as todo
from . import tenant_views as views
from .tenant_call import Answer, Call

Handler = Callable[[Call], Answer]
Roles = frozenset[str]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. Any of ``roles`` lets in; none means that everybody may."""

    method: str
    path: re.Pattern[str]
    handler: Handler
    roles: Roles


def _either(*roles: str) -> Roles:
    return frozenset(roles)


# [learn.microsoft.com/graph/permissions-reference]
_USERS = _either("User.Read.All")
_SEE_MAIL, _MAIL = _either("Mail.Read", "Mail.ReadWrite"), _either("Mail.ReadWrite")
_SEE_FOLDERS, _FOLDERS = (
    _either("MailboxFolder.Read.All", "MailboxFolder.ReadWrite.All"),
    _either("MailboxFolder.ReadWrite.All"),
)
_SEE_ITEMS, _ITEMS = _either("MailboxItem.Read.All", "MailboxItem.ReadWrite.All"), _either("MailboxItem.ReadWrite.All")
_EXPORT, _IMPORT = (
    _either("MailboxItem.Export.All", "MailboxItem.ImportExport.All"),
    _either("MailboxItem.ImportExport.All"),
)
_SEE_EVENTS, _EVENTS = _either("Calendars.Read", "Calendars.ReadWrite"), _either("Calendars.ReadWrite")
_SEE_CONTACTS, _CONTACTS = _either("Contacts.Read", "Contacts.ReadWrite"), _either("Contacts.ReadWrite")
_SEE_TASKS, _TASKS = _either("Tasks.Read.All", "Tasks.ReadWrite.All"), _either("Tasks.ReadWrite.All")
_SEE_SETTINGS, _SETTINGS = _either("MailboxSettings.Read", "MailboxSettings.ReadWrite"), _either("MailboxSettings.ReadWrite")
# Which permission opens /settings/exchange is not documented: any of the same interface does.
_ANY_OF_INTERFACE = _SEE_FOLDERS | _SEE_ITEMS | _EXPORT
# What sends is let in without Mail.Send, because it has to be seen here that an app tried.
EVERYBODY: Roles = frozenset()


def route(method: str, path: str, handler: Handler, roles: Roles) -> Route:
    """A route below the version; a name in braces stands for one part of the path."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return Route(method, re.compile(f"/v1\\.0/{pattern}$", re.IGNORECASE), handler, roles)


_BOX = "admin/exchange/mailboxes/{mailbox}"
_DELTA = r"delta(?:\(\))?"
_MESSAGE = "users/{user}/messages/{message}"
_CALENDAR, _EVENT = "users/{user}/calendars/{calendar}", "users/{user}/events/{event}"
_FOLDER = "users/{user}/mailFolders/{folder}"
_LISTS = "users/{user}/todo/lists"
_TASK = "users/{user}/todo/lists/{list}/tasks/{task}"
_CONTACT = "users/{user}/(?:contactFolders/{folder}/)?contacts/{contact}"
_CONTACTS_OF = "users/{user}/(?:contactFolders/{folder}/)?contacts"
ROUTES = (
    route("GET", rf"users/{{user}}/mailFolders/{_DELTA}", delta.mail_folders, _SEE_MAIL),
    route("GET", rf"{_FOLDER}/messages/{_DELTA}", delta.messages, _SEE_MAIL),
    route("GET", rf"{_BOX}/folders/{_DELTA}", delta.folders, _SEE_FOLDERS),
    route("GET", rf"{_BOX}/folders/{{folder}}/items/{_DELTA}", delta.items, _SEE_ITEMS),
    route("GET", "users/{user}", folders.user, _USERS),
    route("GET", "users/{user}/settings/exchange", folders.settings, _ANY_OF_INTERFACE),
    route("POST", "users/{user}/translateExchangeIds", folders.translate, _USERS),
    route("GET", "users/{user}/mailFolders", folders.list_mail, _SEE_MAIL),
    route("POST", "users/{user}/mailFolders", folders.make_mail, _MAIL),
    route("GET", _FOLDER, folders.get_mail, _SEE_MAIL),
    route("PATCH", _FOLDER, folders.change_mail, _MAIL),
    route("DELETE", _FOLDER, folders.remove, _MAIL),
    route("GET", f"{_FOLDER}/childFolders", folders.list_mail, _SEE_MAIL),
    route("POST", f"{_FOLDER}/childFolders", folders.make_mail, _MAIL),
    route("POST", f"{_FOLDER}/move", folders.move, _MAIL),
    route("GET", f"{_FOLDER}/messages", mail.list_, _SEE_MAIL),
    route("POST", f"{_FOLDER}/messages", mail.create, _MAIL),
    route("GET", rf"{_FOLDER}/messages/\$count", mail.count, _SEE_MAIL),
    route("GET", r"users/{user}/messages/\$count", mail.count, _SEE_MAIL),
    route("GET", "users/{user}/messages", mail.list_, _SEE_MAIL),
    route("POST", "users/{user}/messages", mail.create, _MAIL),
    route("GET", _MESSAGE, mail.get, _SEE_MAIL),
    route("PATCH", _MESSAGE, mail.change, _MAIL),
    route("DELETE", _MESSAGE, mail.remove, _MAIL),
    route("POST", f"{_MESSAGE}/move", mail.move, _MAIL),
    route("GET", rf"{_MESSAGE}/\$value", mail.content, _SEE_MAIL),
    route("GET", f"{_MESSAGE}/attachments", parts.attachments, _SEE_MAIL),
    route("POST", f"{_MESSAGE}/attachments", parts.attach, _MAIL),
    route("POST", f"{_MESSAGE}/attachments/createUploadSession", parts.open_upload, _MAIL),
    route("GET", f"{_MESSAGE}/attachments/{{attachment}}", parts.attachment, _SEE_MAIL),
    route("GET", rf"{_MESSAGE}/attachments/{{attachment}}/\$value", parts.content, _SEE_MAIL),
    route("DELETE", f"{_MESSAGE}/attachments/{{attachment}}", parts.detach, _MAIL),
    route("POST", f"{_MESSAGE}/(?:send|reply|replyAll|forward)", events.send, EVERYBODY),
    route("POST", "users/{user}/sendMail", events.send, EVERYBODY),
    route("GET", "users/{user}/(?:calendar/)?events", events.list_events, _SEE_EVENTS),
    route("POST", "users/{user}/(?:calendar/)?events", events.make_event, _EVENTS),
    route("GET", f"{_CALENDAR}/events", events.list_events, _SEE_EVENTS),
    route("POST", f"{_CALENDAR}/events", events.make_event, _EVENTS),
    route("GET", "users/{user}/calendar", events.get_calendar, _SEE_EVENTS),
    route("GET", "users/{user}/calendars", events.list_calendars, _SEE_EVENTS),
    route("POST", "users/{user}/calendars", events.make_calendar, _EVENTS),
    route("GET", _CALENDAR, events.get_calendar, _SEE_EVENTS),
    route("GET", "users/{user}/(?:calendar/)?calendarView", views.calendar_view, _SEE_EVENTS),
    route("GET", f"{_CALENDAR}/calendarView", views.calendar_view, _SEE_EVENTS),
    route("GET", _EVENT, events.get_event, _SEE_EVENTS),
    route("PATCH", _EVENT, events.change_event, _EVENTS),
    route("DELETE", _EVENT, events.remove_event, _EVENTS),
    route("GET", f"{_EVENT}/instances", events.list_instances, _SEE_EVENTS),
    route("GET", f"{_EVENT}/attachments", events.attachments, _SEE_EVENTS),
    route("POST", f"{_EVENT}/attachments", events.attach, _EVENTS),
    route("POST", f"{_EVENT}/attachments/createUploadSession", events.open_upload, _EVENTS),
    route("GET", f"{_EVENT}/attachments/{{attachment}}", events.attachment, _SEE_EVENTS),
    route("DELETE", f"{_EVENT}/attachments/{{attachment}}", events.detach, _EVENTS),
    route("GET", "users/{user}/outlook/masterCategories", events.list_categories, _SEE_SETTINGS),
    route("POST", "users/{user}/outlook/masterCategories", events.make_category, _SETTINGS),
    route("GET", _CONTACTS_OF, contacts.list_, _SEE_CONTACTS),
    route("POST", _CONTACTS_OF, contacts.create, _CONTACTS),
    route("GET", _CONTACT, contacts.get, _SEE_CONTACTS),
    route("PATCH", _CONTACT, contacts.change, _CONTACTS),
    route("DELETE", _CONTACT, contacts.remove, _CONTACTS),
    route("GET", rf"{_CONTACT}/photo/\$value", contacts.get_photo, _SEE_CONTACTS),
    route("PUT", rf"{_CONTACT}/photo/\$value", contacts.put_photo, _CONTACTS),
    route("GET", "users/{user}/contactFolders", contacts.list_folders, _SEE_CONTACTS),
    route("POST", "users/{user}/contactFolders", contacts.make_folder, _CONTACTS),
    route("GET", "users/{user}/contactFolders/{folder}", contacts.get_folder, _SEE_CONTACTS),
    route("GET", "users/{user}/contactFolders/{folder}/childFolders", contacts.list_folders, _SEE_CONTACTS),
    route("POST", "users/{user}/contactFolders/{folder}/childFolders", contacts.make_folder, _CONTACTS),
    route("GET", f"{_FOLDER}/messageRules", settings.list_rules, _SEE_SETTINGS),
    route("POST", f"{_FOLDER}/messageRules", settings.make_rule, _SETTINGS),
    route("GET", f"{_FOLDER}/messageRules/{{rule}}", settings.get_rule, _SEE_SETTINGS),
    route("PATCH", f"{_FOLDER}/messageRules/{{rule}}", settings.change_rule, _SETTINGS),
    route("DELETE", f"{_FOLDER}/messageRules/{{rule}}", settings.remove_rule, _SETTINGS),
    route("GET", "users/{user}/mailboxSettings", settings.get_settings, _SEE_SETTINGS),
    route("PATCH", "users/{user}/mailboxSettings", settings.change_settings, _SETTINGS),
    route("GET", "users/{user}/calendar/calendarPermissions", settings.list_permissions, _SEE_EVENTS),
    route("GET", _LISTS, todo.list_lists, _SEE_TASKS),
    route("POST", _LISTS, todo.make_list, _TASKS),
    route("GET", f"{_LISTS}/{{list}}/tasks", todo.list_tasks, _SEE_TASKS),
    route("POST", f"{_LISTS}/{{list}}/tasks", todo.create_task, _TASKS),
    route("GET", _TASK, todo.get_task, _SEE_TASKS),
    route("PATCH", _TASK, todo.change_task, _TASKS),
    route("DELETE", _TASK, todo.remove_task, _TASKS),
    route("GET", f"{_TASK}/linkedResources", todo.list_links, _SEE_TASKS),
    route("PATCH", f"{_TASK}/linkedResources/{{link}}", todo.change_link, _TASKS),
    route("GET", f"{_TASK}/attachments", todo.attachments, _SEE_TASKS),
    route("POST", f"{_TASK}/attachments", todo.attach, _TASKS),
    route("GET", f"{_TASK}/attachments/{{attachment}}", todo.attachment, _SEE_TASKS),
    route("GET", f"{_BOX}/folders", folders.list_admin, _SEE_FOLDERS),
    route("POST", f"{_BOX}/folders", folders.make_admin, _FOLDERS),
    route("GET", f"{_BOX}/folders/{{folder}}", folders.get_admin, _SEE_FOLDERS),
    route("PATCH", f"{_BOX}/folders/{{folder}}", folders.change_admin, _FOLDERS),
    route("DELETE", f"{_BOX}/folders/{{folder}}", folders.remove, _FOLDERS),
    route("GET", f"{_BOX}/folders/{{folder}}/childFolders", folders.list_admin, _SEE_FOLDERS),
    route("POST", f"{_BOX}/folders/{{folder}}/childFolders", folders.make_admin, _FOLDERS),
    route("GET", f"{_BOX}/folders/{{folder}}/items", imports.list_items, _SEE_ITEMS),
    route("GET", f"{_BOX}/folders/{{folder}}/items/{{item}}", imports.get_item, _SEE_ITEMS),
    route("DELETE", f"{_BOX}/folders/{{folder}}/items/{{item}}", imports.remove_item, _ITEMS),
    route("POST", f"{_BOX}/exportItems", imports.export, _EXPORT),
    route("POST", f"{_BOX}/createImportSession", imports.open_session, _IMPORT),
)
CREATING: frozenset[Handler] = frozenset({mail.create, contacts.create, todo.create_task, events.make_event})
"""Handlers that make an item: what of them is answered with a time-out may still be carried out later."""
