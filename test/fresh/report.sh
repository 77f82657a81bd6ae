# report.sh
#	  What package.sh and inside.sh tell of each step, and how.  Sourced, by who has
#	  set NAME and has a function run: a line of shell, what it says is printed and
#	  in OUT, its status is the line's.

OUT=/fresh/out
FAILED=0

ok()
{
	printf 'ok - %s: %s\n' "$NAME" "$1"
}

not_ok()
{
	printf 'not ok - %s: %s\n' "$NAME" "$1"
	tail -n 25 "$OUT" | cut -c 1-300 | sed 's/^/  | /'
	FAILED=$((FAILED + 1))
}

# try WHAT COMMAND: it succeeds.  says WHAT PATTERN: and has said so.
try()
{
	if run "$2"; then ok "$1"; else not_ok "$1"; return 1; fi
}

says()
{
	if grep -Eq "$2" "$OUT"; then ok "$1"; else not_ok "$1"; return 1; fi
}
