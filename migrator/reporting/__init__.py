"""What is told to people who are not engineers: gathered once from the ledger alone, shown as pages, a workbook, JSON or CSV.

    gathering ─► facts ─► verdict, forecast (pure) ─► pages, workbook, rows

Never a subject, a body or a third person's address; with ``names.Names`` nobody's name at all.
"""
