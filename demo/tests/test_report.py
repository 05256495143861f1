#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What peerfault-demo prints, and what it takes for shown.

REPORT_TEST is the program of report_test.c, PEERFAULT_DEMO the demo's own.
report.sh builds both and runs these; with --list, their names are printed.
"""

import json
import os
import subprocess
import sys
import unittest

WRONG = {
    'moved-with-consent': 'with consent, 1 pages moved; none should have',
    'not-all-aliased': 'with consent, 1023 of 1024 pages were served through an alias',
    'nothing-to-avoid': 'without consent, only 1023 of 1024 pages moved to RAM and 1024 '
                        'back, so that consent avoided nothing',
    'not-all-moved-back': 'without consent, only 1024 of 1024 pages moved to RAM and 0 '
                          'back, so that consent avoided nothing',
    'aliased-without-consent': '1 pages were aliased without consent',
    'not-verified-off': 'not every byte was verified',
    'not-verified-on': 'not every byte was verified',
}
SHOWN = ('RDMA read and wrote 4 MiB of device memory in place: '
         '0 pages moved with consent, 2048 without')
TABLE = '''\
consent to peer access                    off             on
pages moved to RAM                       1024              0
pages moved back to VRAM                 1024              0
pages served through an alias               0           1024
bytes verified                        8388608        8388608
guest time (ms)                            30             20
consent off      1024 pages: refuse: fallback=none
consent off        32 pages: refuse: "\\\t
consent off         5 more in events lost
consent on       1024 pages: grant: write=1
'''


def run(program, *args):
    return subprocess.run([os.environ[program], *args], capture_output=True,
                          text=True, check=False, timeout=60)


class Report(unittest.TestCase):
    def test_shown(self):
        done = run('REPORT_TEST', 'shown')
        self.assertEqual(done.stdout, f'{TABLE}shown: {SHOWN}\n')
        self.assertEqual(done.returncode, 0)

    def test_wrong(self):
        for case, text in WRONG.items():
            done = run('REPORT_TEST', case)
            self.assertEqual(done.stdout.splitlines()[-1], f'FAILED: {text}')
            self.assertEqual(done.returncode, 1)

    def test_json(self):
        done = run('REPORT_TEST', 'shown', '--json')
        self.assertEqual(done.returncode, 0)
        self.assertEqual(json.loads(done.stdout), {
            'size': 4 << 20, 'shown': True, 'conclusion': SHOWN,
            'runs': [{
                'consent': False, 'pages_to_ram': 1024, 'pages_to_vram': 1024,
                'pages_aliased': 0, 'bytes_verified': 8 << 20, 'ms': 30,
                'decisions': {'lost': 5, 'kinds': [
                    {'pages': 1024, 'what': 'refuse: fallback=none'},
                    {'pages': 32, 'what': 'refuse: "\\\t'}]},
            }, {
                'consent': True, 'pages_to_ram': 0, 'pages_to_vram': 0,
                'pages_aliased': 1024, 'bytes_verified': 8 << 20, 'ms': 20,
                'decisions': {'lost': 0, 'kinds': [
                    {'pages': 1024, 'what': 'grant: write=1'}]},
            }]})

    def test_json_wrong(self):
        for case, text in WRONG.items():
            done = run('REPORT_TEST', case, '--json')
            self.assertEqual(done.returncode, 1)
            document = json.loads(done.stdout)
            self.assertIs(document['shown'], False)
            self.assertEqual(document['conclusion'], text)


class Program(unittest.TestCase):
    def test_help(self):
        done = run('PEERFAULT_DEMO', '--help')
        self.assertEqual(done.returncode, 0)
        self.assertIn('exit codes: 0 shown', done.stdout)

    def test_version(self):
        done = run('PEERFAULT_DEMO', '--version')
        self.assertEqual(done.stdout, f'peerfault-demo {os.environ["VERSION"]}\n')
        self.assertEqual(done.returncode, 0)

    def test_usage(self):
        for args in (['--no-such'], ['word'], ['-s', '0'], ['-s', '-1'],
                     ['-s', '1x'], ['-s', ''], ['-s', '1048577']):
            done = run('PEERFAULT_DEMO', *args)
            self.assertEqual(done.returncode, 2, args)
            self.assertEqual(done.stdout, '')

    def test_no_device(self):
        """This is no guest of the lab."""
        done = run('PEERFAULT_DEMO')
        self.assertEqual(done.returncode, 4)
        self.assertIn('cannot open ivgpu', done.stderr)


if __name__ == '__main__':
    if sys.argv[1:] == ['--list']:
        for suite in (Report, Program):
            for name in unittest.defaultTestLoader.getTestCaseNames(suite):
                print(f'{suite.__name__}.{name}')
    else:
        unittest.main()
