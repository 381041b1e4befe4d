"""The ledger.

Double-entry records of all movements, posted with their cause and verified on demand and continuously.
"""
