"""Sessions by 30 minutes of inactivity, re-merged when a late event bridges two (docs/definitions.md "Sessions")."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import Final

from processors.calendar import DAY, MINUTE, NEVER, Calendar
from processors.measures import M
from processors.profile import Profile, Session
from processors.windows import add

GAP: Final = 30 * MINUTE
_KEPT: Final = DAY + GAP
_start: Final = attrgetter("start")
_SESSIONS, _CLOSED, _MS = M["sessions"], M["sessions_closed"], M["session_ms"]
_EVENTS, _BOUNCES = M["session_events"], M["bounces"]


def visit(p: Profile, time: int, calendar: Calendar) -> bool:
    """Take in one clickstream or app event; true when a count changed (inside an open session none does)."""
    if p.sessions:
        last = p.sessions[-1]
        if not last.closed and last.start <= time <= last.end + GAP:
            last.events += 1
            if time > last.end:
                last.end = time
                p.session_due = _next_close(p)
            return False
    _weave(p, time, calendar)
    return True


def _weave(p: Profile, time: int, calendar: Calendar) -> None:
    """Join the event with every session it touches into one."""
    kept = p.as_of - _KEPT
    touched = [s for s in p.sessions if s.start - GAP <= time <= s.end + GAP and s.end >= kept]
    joined = Session(
        start=min([time, *(s.start for s in touched)]),
        end=max([time, *(s.end for s in touched)]),
        events=1 + sum(s.events for s in touched),
    )
    joined.closed = p.as_of > joined.end + GAP
    for session in touched:
        p.sessions.remove(session)
        _contribute(p, session, -1, calendar)
    _contribute(p, joined, 1, calendar)
    if joined.end >= kept:  # an older one nobody can join any more: a flood of late events must not pile up here
        insort(p.sessions, joined, key=_start)
    p.session_due = _next_close(p)


def close_sessions(p: Profile, calendar: Calendar) -> None:
    """Count the sessions that ended before `as_of`, and forget those no late event can reach any more."""
    for session in p.sessions:
        if not session.closed and p.as_of > session.end + GAP:
            session.closed = True
            _count_closed(p, session, 1, calendar)
    p.sessions = [s for s in p.sessions if s.end >= p.as_of - _KEPT]
    p.session_due = _next_close(p)


def _next_close(p: Profile) -> int:
    due = NEVER
    for session in reversed(p.sessions):  # they end in the order they begin, so the open ones are the last
        if session.closed:
            break
        due = session.end + GAP + 1
    return due


def _contribute(p: Profile, session: Session, sign: int, calendar: Calendar) -> None:
    add(p, _SESSIONS, sign, session.start, calendar)
    if session.closed:
        _count_closed(p, session, sign, calendar)


def _count_closed(p: Profile, session: Session, sign: int, calendar: Calendar) -> None:
    add(p, _CLOSED, sign, session.start, calendar)
    add(p, _EVENTS, sign * session.events, session.start, calendar)
    if session.end > session.start:
        add(p, _MS, sign * (session.end - session.start), session.start, calendar)
    if session.events == 1:
        add(p, _BOUNCES, sign, session.start, calendar)
