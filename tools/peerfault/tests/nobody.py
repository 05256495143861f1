# SPDX-License-Identifier: GPL-2.0
"""The program under test as an ordinary user runs it."""

import contextlib
import os
import shutil
import tempfile

# For subprocess.run(). Who is not root is one already.
USER = {'user': 65534} if os.getuid() == 0 else {}


@contextlib.contextmanager
def program():
    """A copy of it where such a user finds it"""
    with tempfile.TemporaryDirectory() as tmp:
        os.chmod(tmp, 0o755)
        yield shutil.copy(os.environ['PEERFAULT'], tmp)
