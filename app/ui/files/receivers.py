"""Who got a drop that was sent to several, and who did not and why; no widgets."""

from __future__ import annotations

from collections.abc import Sequence

from app.engine.events import Outcome, Transfer, TransferState
from app.runtime.errors import Reason
from app.ui.home.words import typeset

_MOST_NAMES = 8


def sent_to(transfer: Transfer) -> str:
    """For the row's line: the person, everyone, or how many and without whom."""
    if transfer.peer_name:
        return transfer.peer_name
    if not transfer.receivers or transfer.received >= transfer.receivers:
        return "everyone"
    counted = f"{transfer.received} of {transfer.receivers}"
    missed = [one.name for one in transfer.outcomes if one.state is not TransferState.DONE]
    return f"{counted}, not to {names_of(missed, most=2)}" if missed else counted


def who_has_it(transfer: Transfer) -> str:
    """For the tooltip: a line for those who have it, and one for each who has not."""
    if transfer.peer_name or not transfer.outgoing or not transfer.outcomes:
        return ""
    got = [one.name for one in transfer.outcomes if one.state is TransferState.DONE]
    missed = [one for one in transfer.outcomes if one.state is not TransferState.DONE]
    lines = [f"Sent to {names_of(got)}"] if got else []
    lines += [_why_not(one, transfer) for one in missed[:_MOST_NAMES]]
    if len(missed) > _MOST_NAMES:
        rest = len(missed) - _MOST_NAMES
        lines.append(f"{'One other' if rest == 1 else f'{rest} others'} did not get it")
    return "\n".join(lines)


def ends_differ(transfer: Transfer) -> bool:
    """Whether it ended for one in one way and for another in another: no one reason is true."""
    several = transfer.outgoing and not transfer.peer_name
    return several and len({(one.state, one.error) for one in transfer.outcomes}) > 1


def names_of(names: Sequence[str], *, most: int = _MOST_NAMES) -> str:
    """Say "Ada", "Ada and Bo", "Ada, Bo and 3 others"."""
    if len(names) <= most:
        *first, last = names
        return f"{', '.join(first)} and {last}" if first else last
    shown = names[: most - 1]
    return f"{', '.join(shown)} and {len(names) - len(shown)} others"


def _why_not(one: Outcome, transfer: Transfer) -> str:
    if one.state is TransferState.DECLINED:
        return f"{one.name} did not take it"
    if one.state is TransferState.CANCELLED:
        # By its sender, unless the receiver is named as who stopped it.
        is_theirs = one.name in transfer.cancelled_by
        return f"{one.name} {'cancelled it' if is_theirs else 'did not get it'}"
    match one.error:
        case Reason.PEER_GONE | None:
            return f"{one.name} went offline before it finished"
        case Reason.TIMEOUT:
            return typeset(f"{one.name} can't go on with it now")
        case Reason.DISK_FULL:
            return typeset(f"{one.name}'s disk is full")
        case Reason.TOO_LARGE:
            return f"It is too large for {one.name}"
        case Reason.DAMAGED:
            return f"It arrived damaged at {one.name} and was not kept"
        case _:
            return f"{one.name} did not get it"
