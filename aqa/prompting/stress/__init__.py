"""The evidence of a stress test: passages moved, added, taken away, doubled, or contradicted.

`evidence` changes each example, `answers` finds another answer of the same type, `contradiction`
puts it in the place of the old one, `particles` makes Korean particles agree with it.
"""
