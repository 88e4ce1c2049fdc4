"""Rewrite `findings.txt` after a change of rule texts or cases; then review the difference."""

from tests.contract.test_cases import ALL, WORDS, findings_of, words_of

if __name__ == "__main__":
    WORDS.write_text(words_of(findings_of(case) for case in ALL), "utf-8")
