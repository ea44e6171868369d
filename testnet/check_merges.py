#!/usr/bin/env python3
"""Checks `townmesh merge` on real three-way merges, by a reading of its own of what must survive.

    check_merges.py [--townmesh BIN] [--data FILE.jsonl.xz] [--limit N] [--self-test]

It shares no code with what it checks. Per bead and unit it compares base, ours and theirs itself:
an edit of one side alone must be in the result; of two different edits of one unit one must be shown and both listed,
unless a stated rule settles it, which is derived again here. Sides swapped must give the same beads, merging again must
change nothing. Beside it stands what git's line merge makes of the same files.

--self-test first damages results on purpose and wants to see every damage noticed.
Exit code: 0 good, 1 something is lost or differs, 77 with a line `skipped: why` when something needed is missing.
"""

import argparse
import collections
import datetime
import json
import lzma
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DERIVED = {"id", "_type", "dependency_count", "dependent_count", "comment_count", "parent", "content_hash"}
LIFECYCLE = {
    "status", "closed_at", "closed_by_session", "close_reason", "started_at",
    "deleted_at", "deleted_by", "delete_reason", "original_type",
}
COMPACTION = {"compaction_level", "compacted_at", "compacted_at_commit", "original_size"}
TIMES = {
    "created_at", "updated_at", "closed_at", "started_at", "deleted_at", "compacted_at", "due_at", "defer_until",
    "last_activity", "lease_expires_at", "heartbeat_at",
}


def instant(text):
    """Nanoseconds since the epoch of an RFC 3339 text; the text itself when it is none."""
    found = re.fullmatch(r"(\d+)-(\d+)-(\d+)[Tt ](\d+):(\d+):(\d+)(?:\.(\d+))?([Zz]|[+-]\d+:\d+)", text or "")
    if not found:
        return text
    y, mo, d, h, mi, s = (int(part) for part in found.groups()[:6])
    ns = int((found.group(7) or "0")[:9].ljust(9, "0"))
    zone = found.group(8)
    offset = 0
    if zone not in "Zz":
        hours, minutes = zone[1:].split(":")
        offset = (int(hours) * 60 + int(minutes)) * (-1 if zone[0] == "-" else 1)
    days = datetime.date(y, mo, d).toordinal() - datetime.date(1970, 1, 1).toordinal()
    return ((days * 24 + h) * 60 + mi - offset) * 60 * 10**9 + s * 10**9 + ns


def plain(name, value):
    """A field's value in a form in which equal means equal; None is absent."""
    if name == "priority":
        return value or 0
    if value is None or value == "" or value is False or value == []:
        return None
    if name in ("compaction_level", "original_size") and value == 0:
        return None
    if name in TIMES and isinstance(value, str):
        return instant(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    return value


def composite(members, bead):
    values = {name: plain(name, bead.get(name)) for name in members}
    return tuple(sorted((name, value) for name, value in values.items() if value is not None)) or None


def edge(dep):
    metadata = dep.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata) if metadata else None
        except ValueError:
            pass
    if metadata in ("", {}):
        metadata = None
    known = {"issue_id", "depends_on_id", "created_at", "created_by", "type", "metadata", "thread_id"}
    more = {k: v for k, v in dep.items() if k not in known}
    return json.dumps([dep.get("type"), metadata, dep.get("thread_id") or None, more], sort_keys=True)


def comment_key(comment):
    at = instant(comment.get("created_at"))
    return (comment.get("author") or "", at // 10**9 if isinstance(at, int) else at, comment.get("text") or "")


def units(bead):
    """Every unit of a bead with its value."""
    out = {"lifecycle": composite(LIFECYCLE, bead), "compaction": composite(COMPACTION, bead)}
    out["field:priority"] = plain("priority", bead.get("priority"))
    for name, value in bead.items():
        if name in DERIVED or name in LIFECYCLE or name in COMPACTION:
            continue
        if name == "labels":
            out.update({f"label:{label}": True for label in value or []})
        elif name == "dependencies":
            out.update({f"dep:{dep['depends_on_id']}": edge(dep) for dep in value or []})
        elif name == "comments":
            out.update({("comment", *comment_key(c)): True for c in value or []})
        elif name in ("created_at", "updated_at"):
            out[name] = plain(name, value)
        else:
            out[f"field:{name}"] = plain(name, value)
    return {unit: value for unit, value in out.items() if value is not None}


def listed_value(unit, value):
    """A value of the conflict list in the same form."""
    if value is None:
        return None
    if unit == "lifecycle":
        return composite(LIFECYCLE, value)
    if unit == "compaction":
        return composite(COMPACTION, value)
    if unit.startswith("dep:"):
        return edge(value)
    return plain(unit.removeprefix("field:"), value)


def latest(*values):
    there = [v for v in values if v is not None]
    return max(there, key=lambda v: (isinstance(v, int), v)) if there else None


class Check:
    """One merge under judgement."""

    def __init__(self):
        self.counts = collections.Counter()
        self.faults = []

    def fault(self, *what):
        self.faults.append(" ".join(str(w)[:160] for w in what))

    def judge(self, base, ours, theirs, merged, conflicts):
        base, ours, theirs = ({b["id"]: units(b) for b in side} for side in (base, ours, theirs))
        for bead_id, times in collections.Counter(b["id"] for b in merged).items():
            if times > 1:
                self.fault("an id more than once in the result:", bead_id)
        raw, merged = {b["id"]: b for b in merged}, {b["id"]: units(b) for b in merged}
        listed = {(c["id"], c["unit"]): [listed_value(c["unit"], v) if c["unit"] != "delete" else v for v in c["values"]]
                  for c in conflicts}
        expected = set()
        for bead_id in sorted(set(base) | set(ours) | set(theirs)):
            three = base.get(bead_id), ours.get(bead_id), theirs.get(bead_id)
            self.bead(bead_id, three, merged, listed, expected)
        for bead_id in set(merged) - set(base) - set(ours) - set(theirs):
            if bead_id.rpartition("~")[0] not in set(ours) & set(theirs):
                self.fault("a bead from nowhere:", bead_id, raw[bead_id].get("title"))
        for bead_id, unit in set(listed) - expected:
            self.fault("listed without reason:", bead_id, unit)

    def bead(self, bead_id, three, merged, listed, expected):
        base, ours, theirs = three
        result = merged.get(bead_id)
        if base is not None and (ours is None or theirs is None):
            side = ours if theirs is None else theirs
            if not self.really_edited(base, side):
                self.counts["deletes"] += 1
                self.counts["settled: delete_covers"] += int(side is not None and side != base)
                if result is not None:
                    self.fault("deleted, but still there:", bead_id)
                return
            self.counts["delete against edit, listed"] += 1
            expected.add((bead_id, "delete"))
            values = listed.get((bead_id, "delete"), [])
            if len(values) != 2 or sum(v is None for v in values) != 1:
                self.fault("delete against edit is not listed with both values:", bead_id, values)
            ours = theirs = side
        if base is None:
            if ours is not None and theirs is not None and not self.one_bead(ours, theirs):
                self.two_beads(bead_id, ours, theirs, merged)
                return
            self.counts["new beads"] += 1
            ours, theirs, base = ours or theirs, theirs or ours, {}
        if result is None:
            self.fault("lost bead:", bead_id)
            return
        for unit in set(base) | set(ours) | set(theirs) | set(result):
            values = base.get(unit), ours.get(unit), theirs.get(unit)
            self.unit(bead_id, unit, values, result.get(unit), listed, expected, new=not base)

    @staticmethod
    def really_edited(base, side):
        """Whether a side changed something that a delete by the other must not take away."""
        if side is None:
            return False
        for unit in set(base) | set(side):
            if base.get(unit) == side.get(unit) or unit in ("created_at", "updated_at"):
                continue
            gone = unit not in side
            if gone and (isinstance(unit, tuple) or unit.startswith("label:")):
                continue
            return True
        return False

    @staticmethod
    def one_bead(ours, theirs):
        second = [v["created_at"] // 10**9 if isinstance(v.get("created_at"), int) else v.get("created_at")
                  for v in (ours, theirs)]
        tombstone = any(("status", "tombstone") in (v.get("lifecycle") or ()) for v in (ours, theirs))
        return second[0] == second[1] or ours.get("field:title") == theirs.get("field:title") or tombstone

    def two_beads(self, bead_id, ours, theirs, merged):
        self.counts["settled: births_split"] += 1
        lines = [v for k, v in merged.items() if k == bead_id or k.startswith(bead_id + "~")]
        for side in (ours, theirs):
            if side not in lines:
                self.fault("one of two beads under one id is not whole:", bead_id, side.get("field:title"))

    def unit(self, bead_id, unit, values, result, listed, expected, new):
        base, ours, theirs = values
        wrong = lambda why, want: self.fault(why, bead_id, unit, "want", want, "is", result)
        if unit == "updated_at":
            self.counts["settled: updated_at_max"] += int(ours != base and theirs != base and ours != theirs)
            want = latest(base, ours, theirs)
            return result == want or wrong("not the latest time:", want)
        if isinstance(unit, tuple):
            self.counts["settled: comments_union"] += int(base is not None and (ours is None or theirs is None))
            return result is not None or wrong("lost comment:", True)
        if unit == "created_at":
            self.counts["settled: created_at_min"] += int(len({base, ours, theirs} - {None}) > 1)
            want = min((v for v in (base, ours, theirs) if v is not None), key=lambda v: (isinstance(v, int), v), default=None)
            return result == want or wrong("not the earliest creation:", want)
        if ours == theirs:
            self.counts["both sides alike" if ours != base else "untouched"] += 1
            return result == ours or wrong("lost (both sides alike):", ours)
        if theirs == base or ours == base or (new and None in (ours, theirs)):
            want = ours if theirs == base or (new and theirs is None) else theirs
            self.counts["edits of one side"] += 1
            return result == want or wrong("lost edit of one side:", want)
        self.counts["edits of both sides, different, listed"] += 1
        expected.add((bead_id, unit))
        there = listed.get((bead_id, unit))
        if there is None or ours not in there or theirs not in there:
            return wrong("two edits are not both listed:", (ours, theirs))
        return result in (ours, theirs) or wrong("neither of two edits is shown:", (ours, theirs))


def write(path, beads):
    beads = sorted(beads, key=lambda b: b["id"])
    path.write_text("".join(json.dumps(b, ensure_ascii=False) + "\n" for b in beads), encoding="utf-8")


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def merge(binary, base, ours, theirs, out):
    done = subprocess.run([binary, "merge", base, ours, theirs, "--out", out, "--json"], capture_output=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"townmesh merge ended with {done.returncode}: {done.stderr.decode()[:2000]}")
    report = json.loads(done.stdout)
    if (done.returncode == 1) != bool(report["conflicts"]):
        sys.exit("exit code and conflict list contradict each other")
    return report


def by_value(path):
    return {b["id"]: units(b) for b in read(path)}


def conflict_set(report):
    value = lambda c: sorted(json.dumps(v, sort_keys=True) for v in c["values"])
    return sorted((c["id"], c["unit"], value(c)) for c in report["conflicts"])


def reverted(unit_of, revert):
    """Puts what one side alone changed back to what the base says."""
    def damage(beads, conflicts, triple):
        base, ours, theirs = ({b["id"]: b for b in side} for side in triple)
        for bead in beads:
            three = [version.get(bead["id"]) for version in (base, ours, theirs)]
            if None in three:
                continue
            before, own, other = (units(version).get(unit_of) for version in three)
            if before is not None and (own == before) != (other == before):
                return revert(bead, three[0])
        raise StopIteration
    return damage


def put_back(*names):
    def revert(bead, base):
        for name in names:
            bead.pop(name, None)
            if name in base:
                bead[name] = base[name]
    return revert


DAMAGES = {
    "one side's description back to the base's": reverted("field:description", put_back("description")),
    "one side's lifecycle back to the base's": reverted("lifecycle", put_back(*LIFECYCLE)),
    "a line twice": lambda beads, conflicts, _: beads.append(dict(beads[0])),
    "a delete's values dropped":
        lambda beads, conflicts, _: next(c for c in conflicts if c["unit"] == "delete").update(values=[]),
    "a conflict of two edits not listed":
        lambda beads, conflicts, _: conflicts.remove(next(c for c in conflicts if c["unit"] != "delete")),
    "one value of two edits dropped":
        lambda beads, conflicts, _: next(c for c in conflicts if c["unit"] != "delete")["values"].pop(),
    "a dropped bead": lambda beads, conflicts, _: beads.pop(0),
    "a reverted title": lambda beads, conflicts, _: beads[0].update(title="damaged"),
    "a reverted status": lambda beads, conflicts, _: beads[0].update(status="damaged"),
    "a dropped label": lambda beads, conflicts, _: next(b for b in beads if b.get("labels"))["labels"].pop(),
    "a dropped edge": lambda beads, conflicts, _: next(b for b in beads if b.get("dependencies"))["dependencies"].pop(),
    "an invented bead": lambda beads, conflicts, _: beads.append({"id": "nowhere-1", "title": "x"}),
    "an earlier updated_at": lambda beads, conflicts, _: beads[0].update(updated_at="2001-01-01T00:00:00Z"),
    "a conflict that is not listed": lambda beads, conflicts, _: conflicts.pop(0),
}


def self_test(results):
    """Every damage must be noticed on some real merge."""
    unnoticed = []
    for name, damage in DAMAGES.items():
        for triple, merged, report in results:
            beads, conflicts = json.loads(json.dumps(merged)), json.loads(json.dumps(report["conflicts"]))
            try:
                damage(beads, conflicts, triple)
            except (IndexError, StopIteration):
                continue
            check = Check()
            check.judge(*triple, beads, conflicts)
            print(f"self-test: {name}: {check.faults[0] if check.faults else 'NOT NOTICED'}")
            if not check.faults:
                unnoticed.append(name)
            break
        else:
            unnoticed.append(f"{name} (never possible)")
    return unnoticed


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def main():
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--townmesh", default=os.environ.get("TOWNMESH_BIN", f"{target}/debug/townmesh"))
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data/beads-merges.jsonl.xz")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if not args.data.exists():
        skip(f"{args.data} is missing")
    if not os.path.exists(args.townmesh):
        skip(f"{args.townmesh} is not built")
    total, faults, kept = collections.Counter(), [], []
    with tempfile.TemporaryDirectory() as folder, lzma.open(args.data, "rt", encoding="utf-8") as lines:
        at = {name: pathlib.Path(folder) / name for name in ("base", "ours", "theirs", "out", "swapped", "again")}
        for number, line in enumerate(lines):
            if args.limit and number >= args.limit:
                break
            record = json.loads(line)
            triple = record["base"], record["ours"], record["theirs"]
            for name, beads in zip(("base", "ours", "theirs"), triple):
                write(at[name], beads)
            report = merge(args.townmesh, at["base"], at["ours"], at["theirs"], at["out"])
            check = Check()
            check.judge(*triple, read(at["out"]), report["conflicts"])
            shown = by_value(at["out"])
            swapped = merge(args.townmesh, at["base"], at["theirs"], at["ours"], at["swapped"])
            if by_value(at["swapped"]) != shown or conflict_set(swapped) != conflict_set(report):
                check.fault("swapping sides gives another result")
            for ours, theirs in ((at["out"], at["theirs"]), (at["ours"], at["out"])):
                merge(args.townmesh, at["base"], ours, theirs, at["again"])
                if by_value(at["again"]) != shown:
                    check.fault("merging again changes something")
            git = subprocess.run(["git", "merge-file", "-p", "-q", at["ours"], at["base"], at["theirs"]],
                                 capture_output=True, check=False)
            total["merges"] += 1
            total["git's line merge: merges with conflicts"] += int(git.returncode != 0)
            total["git's line merge: conflicts (at most 127 counted each)"] += min(git.returncode, 127)
            total.update(check.counts)
            total["conflicts listed"] += len(report["conflicts"])
            faults += [f"{record['merge']}: {fault}" for fault in check.faults]
            if args.self_test and len(kept) < 12:
                kept.append((triple, read(at["out"]), report))
    unnoticed = self_test(kept) if args.self_test else []
    for what, number in sorted(total.items()):
        print(f"{number:>9}  {what}")
    for fault in faults[:20]:
        print(f"FAULT {fault}")
    for name in unnoticed:
        print(f"NOT NOTICED: {name}")
    print(f"lost = {len(faults)}")
    sys.exit(1 if faults or unnoticed or not total["merges"] else 0)


if __name__ == "__main__":
    main()
