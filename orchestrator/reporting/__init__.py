"""What people see of a run; reads only. May import core to store."""
