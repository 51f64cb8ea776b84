"""Words in several languages for the sample mailboxes: names of folders, sentences, categories, people."""

from __future__ import annotations

from dataclasses import dataclass

ROLES: tuple[tuple[str, str], ...] = (
    ("inbox", "IPF.Note"), ("drafts", "IPF.Note"), ("sentitems", "IPF.Note"), ("deleteditems", "IPF.Note"),
    ("junkemail", "IPF.Note"), ("outbox", "IPF.Note"), ("calendar", "IPF.Appointment"), ("contacts", "IPF.Contact"),
    ("tasks", "IPF.Task"), ("notes", "IPF.StickyNote"), ("archive", "IPF.Note"), ("conversationhistory", "IPF.Note"),
)  # fmt: skip
"""Special folders by distinguished id, with their container class."""

SOURCE_ROLES = 10
"""So many of them an on-premises mailbox has."""


@dataclass(frozen=True, slots=True)
class Tongue:
    """One language. ``special`` has the names of the special folders in the order of ROLES."""

    special: tuple[str, ...]
    own: tuple[str, ...]
    """Paths of folders that a user made, parents before children; ``|`` between the names, since a name may hold a slash."""
    reply: str
    subjects: tuple[str, ...]
    sentences: tuple[str, ...]
    categories: tuple[str, ...]


ENGLISH = Tongue(
    (
        "Inbox", "Drafts", "Sent Items", "Deleted Items", "Junk Email", "Outbox", "Calendar", "Contacts", "Tasks", "Notes",
        "Archive", "Conversation History",
    ),
    ("Inbox|Receipts", "Customers", "Customers|North & South", "Customers|Lost <2019>", "Travel", "Empty for now"),
    "RE: ",
    ("Minutes of Monday's meeting", "Offer no. {n}", "Lunch?", "Your order {n}", "Plan for the spring", "Question on the draft"),
    (
        "Thanks for the quick answer.", "The figures for the second quarter are attached.", "Could you look before Friday?",
        "We moved the meeting to the small room.", "Let me know if anything is missing.", "The parcel should arrive tomorrow.",
        "I talked to the lawyers, and they agree with paragraph four.", "Please don't forward this one.",
    ),
    ("Red category", "Follow up", "Budget"),
)  # fmt: skip

GERMAN = Tongue(
    (
        "Posteingang", "Entwürfe", "Gesendete Elemente", "Gelöschte Elemente", "Junk-E-Mail", "Postausgang", "Kalender",
        "Kontakte", "Aufgaben", "Notizen", "Archiv", "Verlauf der Unterhaltung",
    ),
    (
        "Posteingang|Rechnungen", "Posteingang|Rechnungen|2019/2020", "Projekte", "Projekte|Brücke Süd",
        "Projekte|Brücke Süd|Gutachten", "Projekte|Brücke Süd|Gutachten|Übergabe", "Müller & Söhne", "Leer",
    ),
    "AW: ",
    ("Angebot Nr. {n}", "Besprechung am Montag", "Rückfrage zum Gutachten", "Ihre Bestellung {n}", "Grüße aus Köln"),
    (
        "Vielen Dank für die schnelle Antwort.", "Anbei die Zahlen für das zweite Quartal.", "Könnten Sie bis Freitag prüfen?",
        "Die Besprechung ist jetzt im kleinen Saal.", "Bitte melden, falls noch etwas fehlt.", "Das Paket kommt morgen an.",
        "Die Anwälte sind mit Absatz vier einverstanden.", "Größe und Maße stehen auf Seite drei.",
    ),
    ("Rote Kategorie", "Prüfen", "Müller & Söhne"),
)  # fmt: skip

FRENCH = Tongue(
    (
        "Boîte de réception", "Brouillons", "Éléments envoyés", "Éléments supprimés", "Courrier indésirable",
        "Boîte d'envoi", "Calendrier", "Contacts", "Tâches", "Notes", "Archive", "Historique des conversations",
    ),
    ("Boîte de réception|Factures", "Clients", "Clients|Île-de-France", "Clients|Île-de-France|À relancer", "Vide"),
    "RE: ",
    ("Devis n° {n}", "Réunion de lundi", "Question sur le brouillon", "Votre commande {n}", "Où déjeuner ?", "Été à Nîmes"),
    (
        "Merci pour votre réponse rapide.", "Vous trouverez ci-joint les chiffres du deuxième trimestre.",
        "Pourriez-vous regarder avant vendredi ?", "La réunion a lieu dans la petite salle.", "Le colis arrive demain, j'espère.",
        "Les avocats sont d'accord avec le paragraphe quatre.", "Dites-moi s'il manque quelque chose.",
    ),
    ("Catégorie rouge", "À vérifier", "Budget"),
)  # fmt: skip

JAPANESE = Tongue(
    (
        "受信トレイ", "下書き", "送信済みアイテム", "削除済みアイテム", "迷惑メール", "送信トレイ", "予定表",
        "連絡先", "タスク", "メモ", "アーカイブ", "会話の履歴",
    ),
    ("受信トレイ|請求書", "プロジェクト", "プロジェクト|橋", "プロジェクト|橋|報告書", "空"),
    "RE: ",
    ("見積書 {n}", "月曜日の会議", "報告書について", "ご注文 {n}", "お昼は？", "春の計画"),
    (
        "早速のご返信ありがとうございます。", "第二四半期の数字を添付します。", "金曜日までにご確認いただけますか。",
        "会議は小さい部屋に変わりました。", "何か足りないものがあればお知らせください。", "荷物は明日届くはずです。",
    ),
    ("赤の分類", "要確認", "予算"),
)  # fmt: skip

GREEK = Tongue(
    (
        "Εισερχόμενα", "Πρόχειρα", "Απεσταλμένα", "Διαγραμμένα", "Ανεπιθύμητα", "Εξερχόμενα", "Ημερολόγιο", "Επαφές",
        "Εργασίες", "Σημειώσεις", "Αρχειοθήκη", "Ιστορικό συνομιλιών",
    ),
    ("Εισερχόμενα|Τιμολόγια", "Πελάτες", "Πελάτες|Θεσσαλονίκη", "Πελάτες|Θεσσαλονίκη|Προσφορές", "Κενό"),
    "ΑΠ: ",
    ("Προσφορά αρ. {n}", "Σύσκεψη της Δευτέρας", "Ερώτηση για το σχέδιο", "Η παραγγελία σας {n}", "Σχέδιο για την άνοιξη"),
    (
        "Ευχαριστώ για τη γρήγορη απάντηση.", "Επισυνάπτω τα νούμερα του δεύτερου τριμήνου.",
        "Μπορείτε να το δείτε ως την Παρασκευή;",
        "Η σύσκεψη θα γίνει στη μικρή αίθουσα.", "Το δέμα θα φτάσει αύριο.", "Πείτε μου αν λείπει κάτι.",
    ),
    ("Κόκκινη κατηγορία", "Έλεγχος", "Προϋπολογισμός"),
)  # fmt: skip

OWNERS: tuple[tuple[str, str, Tongue], ...] = (
    ("anna.becker", "Anna Becker", GERMAN),
    ("bernard.lefevre", "Bernard Lefèvre", FRENCH),
    ("chihiro.tanaka", "田中 千尋", JAPANESE),
    ("dimitra.pappas", "Δήμητρα Παππά", GREEK),
    ("emma.clarke", "Emma Clarke", ENGLISH),
)
"""Whose mailboxes they are: local part, name, language."""

STRANGERS: tuple[tuple[str, str], ...] = (
    ("Søren Ødegård", "soren@fjord.example"), ("Łukasz Żak", "lukasz.zak@wroclaw.example"), ("Orders", "orders@shop.example"),
    ("山田 太郎", "yamada@tokyo.example"), ("O'Brien, Pat", "pat.o'brien@dublin.example"), ("", "no-reply@bank.example"),
    ("Jürgen Groß", "j.gross@bruecke.example"), ("Ελένη", "eleni@athens.example"), ("Max \"Mad\" Miller", "max@garage.example"),
)  # fmt: skip

LEGACY = {
    "/O=CONTOSO/OU=EXCHANGE ADMINISTRATIVE GROUP (FYDIBOHF23SPDLT)/CN=RECIPIENTS/CN=ANNA.BECKER": "anna.becker@contoso.test",
    "/O=CONTOSO/OU=EXCHANGE ADMINISTRATIVE GROUP (FYDIBOHF23SPDLT)/CN=RECIPIENTS/CN=KLAUS.GONE": "",
}
"""X.500 addresses of people inside, as old messages hold them; no SMTP address where the person left long ago."""
