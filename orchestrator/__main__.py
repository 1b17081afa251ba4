"""`python -m orchestrator` is `autorl-daemon`."""

from orchestrator.cli import main

raise SystemExit(main())
