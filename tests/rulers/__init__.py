"""Forty proposals of known intent: do the rules tell a better candidate from a bent measure?"""
