"""Evidence for stress tests: passages moved, added, removed, repeated or contradicted.

`evidence` changes each example; `answers` finds another answer of the same form: other `figures`
or another name; `contradiction` substitutes it; `particles` makes Korean particles agree with it.
"""
