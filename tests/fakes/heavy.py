"""The slow imports that `forked` makes before forking."""

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

gc.freeze()  # otherwise a collection in a child would copy these pages
