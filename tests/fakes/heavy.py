"""What `forked` has imported before it forks: what takes seconds to import."""

import gc

from aqa.library_output import quiet

with quiet():
    import aqa.backends.llama_qlora.training
    import aqa.backends.local.training
    import aqa.backends.openai_api.backend
    import aqa.backends.openai_api.client
    import aqa.backends.t5.training
    import aqa.cli.app
    import aqa.cli.tables
    import aqa.evaluation.judge.judge
    import aqa.verbs.evaluate
    import aqa.verbs.predict
    import aqa.verbs.train  # noqa: F401

gc.freeze()  # or each child copies all that a collection looks at
