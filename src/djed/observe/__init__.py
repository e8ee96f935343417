"""Results become observations: why something failed (``outcome``), the report of an attempt (``report``), the numbers that a script
tells (``indicator``), honest statistics (``timing``) and facts to keep (``observations``). Pure: values in, values out.
"""
