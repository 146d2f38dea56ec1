"""Statistics: the only source of intervals and p values.

`clusters` groups dependent examples; `intervals` has intervals of means and differences;
`sign_flips` tests differences; `power` says which differences would be detected.
"""
