"""Mailboxes that move together: from the spreadsheet to who runs when."""
