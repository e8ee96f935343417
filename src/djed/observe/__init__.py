"""Results become observations. Pure: values in, values out.

Why something failed (``outcome``), the report of an attempt (``report``), the numbers that a script tells (``indicator``), honest
statistics (``timing``), and facts to keep (``observations``).
"""
