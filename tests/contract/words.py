"""Write `findings.txt` anew, after the words of a rule or the cases changed; then read the difference."""

from tests.contract.test_cases import ALL, WORDS, findings_of, words_of

if __name__ == "__main__":
    WORDS.write_text(words_of(findings_of(case) for case in ALL), "utf-8")
