"""What becomes of each inbox rule; pure.

A rule of the target is the same one if it has the name and says the same, or if the ledger knows that it is what the target made
of ours. Two rules of one name are two rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from connectors.settings import Action, Clause, Content, Deed, Kind, Rule, Settings, Test
from migrator.settings.words import AddRule, EnableRule, Entry, Remembered, Surroundings, Verdict, digest, listed


def rule_key(rule: Rule) -> bytes:
    """A source rule in the ledger: by its name and by what it says."""
    return digest(Kind.RULE, rule.name.casefold(), rule.content())


def plan_rules(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    """What becomes of every rule, in the order of the source."""
    free = list(target.rules)
    judged: list[tuple[Rule, Rule, str, Rule | None]] = []
    for rule in sorted(source.rules, key=lambda one: one.order):
        mapped, hindrance = _mapped(rule, around)
        found = (
            None if hindrance else next((one for one in free if _same(mapped, one, around.remembered.get(rule_key(rule)))), None)
        )
        if found is not None:
            free.remove(found)
        judged.append((rule, mapped, hindrance, found))
    # Ours come after what the target's user made, so that those go on to do what they did.
    after = max((one.order for one in free), default=0)
    others = {_name(one).casefold() for one in free}
    seen: Counter[bytes] = Counter()
    for rule, mapped, hindrance, found in judged:
        key = rule_key(rule)
        seen[key] += 1
        if seen[key] > 1:
            key = digest(key, seen[key])
        yield _rule(rule, replace(mapped, order=mapped.order + after), hindrance, found, key, others, around)


def _rule(
    rule: Rule, mapped: Rule, hindrance: str, found: Rule | None, key: bytes, others: set[str], around: Surroundings
) -> Entry:
    name, state = _name(rule), "on" if rule.enabled else "off"
    known = around.remembered.get(key)
    if hindrance:
        return listed(Kind.RULE, name, hindrance, key, state)
    wanted = rule.enabled and around.wishes.rule(rule)
    entry = Entry(kind=Kind.RULE, name=name, verdict=Verdict.THERE, key=key, state=state)
    if found is None:
        if known is not None:
            return listed(Kind.RULE, name, "it was carried before, and the target's user has changed or removed it", key, state)
        if name.casefold() in others:
            return listed(Kind.RULE, name, "the target has another rule of this name, which is left", key, state)
        off = _why_off(rule, wanted)
        return replace(entry, verdict=Verdict.WRITE, change=AddRule(mapped, wanted), why=off, waits=rule.enabled and not wanted)
    if found.enabled or not rule.enabled:
        on = found.enabled and wanted
        return replace(entry, on=on, why="it is off at the source and on in the target" if found.enabled > rule.enabled else "")
    if wanted and not (known is not None and known.switched):
        return replace(entry, verdict=Verdict.WRITE, change=EnableRule(found))
    if known is not None and known.switched:
        return replace(entry, why="the target's user has switched it off")
    return replace(entry, why=_why_off(rule, wanted), waits=True)


def _why_off(rule: Rule, wanted: bool) -> str:
    if wanted:
        return ""
    if not rule.enabled:
        return "it is off at the source too"
    if rule.sends:
        return "it sends mail: it stays off until you name it with --enable-rule"
    return "it stays off until you say --enable-rules"


def _name(rule: Rule) -> str:
    return rule.name or "(no name)"


def _same(mapped: Rule, there: Rule, known: Remembered | None) -> bool:
    if there.untold or _name(there).casefold() != _name(mapped).casefold():
        return False
    content = there.content()
    # A server may write down what it was given in a way of its own; then what it answered at the time counts.
    return content == mapped.content() or (known is not None and known.target == there.id and known.stored == stored(content))


def stored(content: Content) -> bytes:
    """What a target made of a rule, as the ledger keeps it."""
    return digest(content)


def _mapped(rule: Rule, around: Surroundings) -> tuple[Rule, str]:
    """The rule as the target can have it, and what hinders that; empty if nothing does."""
    if rule.untold:
        return rule, f"it has {', '.join(dict.fromkeys(rule.untold))}"
    can = around.abilities
    strange = [one.test.value for one in (*rule.conditions, *rule.exceptions) if one.test not in can.tests]
    strange += [one.deed.value for one in rule.actions if one.deed not in can.deeds]
    if strange:
        return rule, f"the target has no rule that says: {', '.join(dict.fromkeys(strange))}"
    if not rule.actions:
        return rule, "it does nothing"
    for clauses in (rule.conditions, rule.exceptions):
        repeated = [one for one, number in Counter(clause.test for clause in clauses).items() if number > 1]
        if repeated:
            return rule, f"it says the same thing twice: {repeated[0].value}"
    actions = []
    for one in rule.actions:
        if one.deed in (Deed.MOVE, Deed.COPY):
            folder = around.folders.get(one.values[0] if one.values else "")
            if not folder:
                return rule, "the folder that it files into is not in the target; run the migration first"
            actions.append(Action(one.deed, (folder,)))
        else:
            actions.append(one)
    sizes = [one for one in (*rule.conditions, *rule.exceptions) if one.test is Test.SIZE]
    if any(not _sizes(one) for one in sizes):
        return rule, "it has a size that can't be read"
    return replace(rule, name=_name(rule), actions=tuple(actions)), ""


def _sizes(clause: Clause) -> bool:
    return all(value == "" or value.isdecimal() for value in clause.values) and any(clause.values)
