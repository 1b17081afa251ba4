"""`python -m orchestrator` is `autorl-daemon`."""

from orchestrator.cli.main import main

raise SystemExit(main())
