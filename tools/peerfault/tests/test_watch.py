#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`peerfault watch` without a trace: its arguments, and what it makes of events.

PEERFAULT is the program under test, WATCH_FEED what feeds its parts with events.
unit.sh builds both and runs these; with --list, their names are printed.
"""

import json
import os
import subprocess
import sys
import unittest

import nobody

GPU, NIC = '0000:03:00.0', '0000:06:00.0'


def grant(pages, pid=1, exporter=GPU, importer=NIC):
    return (f'hmm_alias_grant: addr=0x7f0000000000 pages={pages} '
            f'phys=0x1000000000 write=1 exporter={exporter} '
            f'importer={importer} access=dma pid={pid}\n')


def refuse(pages, reason='no-consent', fallback='none', pid=1, importer=NIC):
    return (f'hmm_alias_refuse: addr=0x7f0000000000 pages={pages} '
            f'reason={reason} err=0 fallback={fallback} exporter={GPU} '
            f'importer={importer} access=dma pid={pid}\n')


def feed(text, *args):
    return subprocess.run([os.environ['WATCH_FEED'], *args], input=text,
                          text=True, stdout=subprocess.PIPE, check=True,
                          timeout=60).stdout


def documents(text):
    return [json.loads(line) for line in feed(text, '--json').splitlines()]


class Events(unittest.TestCase):
    def test_counts(self):
        """Pages are added up by what became of them, and why."""
        document, = documents(
            grant(512) + grant(1) + refuse(3) +
            refuse(32, fallback='ram') + refuse(5, 'busy', 'ram') +
            'print 1.5\n')
        with open('/proc/1/comm', encoding='utf-8') as file:
            process = file.read().strip()
        self.assertEqual(document, {
            'seconds': 1.5, 'total': False, 'lost': 0, 'pages': [{
                'pid': 1, 'process': process, 'exporter': GPU,
                'importer': NIC, 'granted': 513, 'refused': 3, 'moved': 37,
                'why_not': {'no-consent': 35, 'busy': 5}}]})

    def test_rows(self):
        """A row for each process, exporter and importer"""
        document, = documents(
            grant(1) + grant(2, pid=2) + grant(4, importer='rxe0') +
            grant(8, exporter='0000:04:00.0') + grant(16) + 'print 1\n')
        rows = {(row['pid'], row['exporter'], row['importer']): row['granted']
                for row in document['pages']}
        self.assertEqual(rows, {(1, GPU, NIC): 17, (2, GPU, NIC): 2,
                                (1, GPU, 'rxe0'): 4,
                                (1, '0000:04:00.0', NIC): 8})

    def test_intervals(self):
        """Each has what is new, and the total all of it."""
        got = documents(grant(1) + 'print 1\n' + 'print 2\n' +
                        grant(2) + refuse(4) + 'print 3\n' + refuse(8) +
                        'total 3.5\n')
        pages = [[(row['granted'], row['refused']) for row in one['pages']]
                 for one in got]
        self.assertEqual(pages, [[(1, 0)], [], [(2, 4)], [(3, 12)]])
        self.assertEqual([one['total'] for one in got],
                         [False, False, False, True])
        self.assertEqual(got[3]['pages'][0]['why_not'], {'no-consent': 12})

    def test_lost(self):
        got = documents('lost 3\nprint 1\nprint 2\nlost 4\nprint 3\ntotal 3\n')
        self.assertEqual([one['lost'] for one in got], [3, 0, 4, 7])
        text = feed('lost 3\nprint 1\ntotal 1\n').splitlines()
        self.assertEqual(len(text), 2)
        for line in text:
            self.assertIn('at least 3 events were lost', line)

    def test_table(self):
        lines = feed(grant(7) + refuse(2, 'busy') + refuse(3, fallback='ram') +
                     'print 1\n' + grant(1, pid=99999999) +
                     'print 2\n' + 'total 2\n').splitlines()
        words = [line.split() for line in lines]
        self.assertEqual(words[0][-2:], ['why', 'not'])
        self.assertEqual(words[1][:2] + words[1][3:],
                         ['1.0', '1', GPU, NIC, '7', '2', '3', 'busy:2',
                          'no-consent:3'])
        self.assertEqual(words[2], ['2.0', '99999999', '?', GPU, NIC, '1', '0',
                                    '0', '-'])
        self.assertEqual([line[0] for line in words[3:]], ['total', 'total'])

    def test_nothing(self):
        self.assertEqual(feed('print 1\ntotal 1\n'),
                         'no device asked for memory of another one\n')

    def test_other_events(self):
        self.assertEqual(feed('hmm_alias_map_fail: phys=0x1 exporter=a\n'),
                         'ENOENT\n')

    def test_no_pid(self):
        """A kernel whose events do not say it"""
        document, = documents(grant(1).replace(' pid=1', '') + 'print 1\n')
        self.assertEqual(document['pages'][0]['pid'], 0)
        self.assertEqual(document['pages'][0]['process'], '?')

    def test_cut(self):
        """What is no decision is not counted as one."""
        for text in (grant(1).replace('pages=1', 'pages=x'),
                     grant(1).replace('pages=1', ''),
                     grant(1).replace('exporter=', 'exporter'),
                     grant(1).replace('importer=', ''),
                     grant(1).replace(NIC, 'x' * 64),
                     grant(1, pid='x'),
                     grant(1).replace('write', 'reason'),
                     refuse(1).replace('reason=no-consent', '')):
            self.assertEqual(feed(text + 'print 1\n'), 'EPROTO\n', text)

    def test_reasons(self):
        """There may be more of them than today's kernel has, up to 16."""
        text = ''.join(refuse(1, f'r{i}') for i in range(17)) + 'print 1\n'
        lines = feed(text, '--json').splitlines()
        self.assertEqual(lines[0], 'EOVERFLOW')
        row, = json.loads(lines[1])['pages']
        self.assertEqual(len(row['why_not']), 16)
        self.assertEqual(row['refused'], 16)


class Arguments(unittest.TestCase):
    def run_program(self, *args):
        return subprocess.run([os.environ['PEERFAULT'], 'watch', *args],
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=60)

    def test_help(self):
        for option in ('--help', '-h'):
            done = self.run_program(option)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, '^usage: peerfault watch ')
            self.assertIn('exit codes: 0 done', done.stdout)

    def test_usage(self):
        for args in (['--no-such'], ['word'], ['-i', '0'], ['-i', '0.01'],
                     ['-i', 'x'], ['-i', '1x'], ['-i', 'nan'], ['-n', '0'],
                     ['-n', '1.5'], ['-n', '-1'], ['-n', ''], ['-i']):
            done = self.run_program(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertEqual(done.stdout, '')
            self.assertNotEqual(done.stderr, '')

    def test_ordinary_user(self):
        with nobody.program() as program:
            done = subprocess.run([program, 'watch', '-n', '1'], text=True,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False,
                                  timeout=60, cwd='/', **nobody.USER)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, '')
        self.assertIn('cannot make a trace buffer (only root can)',
                      done.stderr)


if __name__ == '__main__':
    if sys.argv[1:] == ['--list']:
        for case in (Events, Arguments):
            for name in unittest.defaultTestLoader.getTestCaseNames(case):
                print(f'{case.__name__}.{name}')
    else:
        unittest.main()
