#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`peerfault topo --verify` with a peerfault-verify that says what a test wants.

UNTRACED is the program under test, with the kernel's events from a file.
unit.sh builds it and runs these; with --list, their names are printed.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from test_topo import UPSTREAM, Machine, client

GPU, NIC = '0000:03:00.0', '0000:04:00.0'
WAYS = ('read READ remote', 'read WRITE local', 'write WRITE remote',
        'write READ local')
SWITCH = f'/sys/bus/pci/devices/{GPU}/p2pdma/peer_access'


def transfers(reads='right 0 8 0', writes='right 0 8 0'):
    return ''.join(f'echo transfer {way} {reads if way[0] == "r" else writes}\n'
                   for way in WAYS)


def pages(stayed, moved):
    return f'echo pages {stayed} {moved}\n'


def grant(count):
    return (f'echo "hmm_alias_grant: addr=0x7000 pages={count} phys=0x1000 '
            f'write=1 exporter={GPU} importer={NIC} access=dma pid=$$" '
            '>>"$UNTRACED"\n')


def refuse(count, reason, exporter=GPU):
    return (f'echo "hmm_alias_refuse: addr=0x7000 pages={count} '
            f'reason={reason} err=0 fallback=ram exporter={exporter} '
            f'importer={NIC} access=dma pid=$$" >>"$UNTRACED"\n')


class VerifyTest(unittest.TestCase):
    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.tmp)
        self.program = self.tmp / 'peerfault'
        shutil.copy(os.environ['UNTRACED'], self.program)
        self.environment = os.environ | {'UNTRACED': str(self.tmp / 'events')}
        self.machine = Machine(self.tmp / 'sys')
        self.machine.device(f'{UPSTREAM}/{GPU}', 'gpu')
        self.machine.p2pdma(GPU, clients=(client('04:00.0'),), consent=1)
        self.nic('mlx5_0')

    def nic(self, name, **kwargs):
        self.machine.rdma(name, f'{UPSTREAM}/{NIC}', **kwargs)

    def helper(self, script):
        path = self.tmp / 'peerfault-verify'
        path.write_text('#!/bin/sh\n' + script)
        path.chmod(0o755)

    def command(self, *args):
        return [self.program, 'topo', '--sysfs', self.machine.sys, '--verify',
                *args]

    def run_program(self, code, *args):
        done = subprocess.run(self.command(*args), env=self.environment,
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def verify(self, code, script=None):
        """What is said of the only pair, in the table"""
        if script is not None:
            self.helper(script)
        lines = self.run_program(code).stdout.splitlines()
        self.assertEqual(len(lines), 2, lines)
        words = lines[1].split(None, 5)
        self.assertEqual(words[:2], [GPU, 'mlx5_0'])
        return words[2:]

    def wrong(self, reads, writes):
        """What is said of a pair that is wrong"""
        verdict, aliased, moved, what = self.verify(
            3, transfers(reads, writes) + pages(8, 0) + grant(8))
        self.assertEqual((verdict, aliased, moved), ('wrong', '8', '0'))
        what, forbid = what.rsplit('; ', 1)
        self.assertEqual(forbid, f'forbid it: echo 0 > {SWITCH}')
        return what


RIGHT = transfers() + pages(8, 0) + grant(8)


class Verdicts(VerifyTest):
    def test_right(self):
        self.assertEqual(self.verify(0, RIGHT),
                         ['right', '8', '0', 'reads right; writes right'])

    def test_wrong(self):
        """Each kind has a name, in each direction."""
        for result, text in (
                ('ones 8 8 0', 'reads dropped (all ones), 8 of 8 words'),
                ('stale 7 8 0', 'reads dropped (stale), 7 of 8 words'),
                ('displaced 8 8 -64',
                 'reads at a wrong offset (-64 bytes)'),
                ('corrupt 1 8 0', 'reads corrupted, 1 of 8 words'),
                ('failed 0 8 0 no answer', 'reads failed (no answer)')):
            self.assertEqual(self.wrong(result, 'right 0 8 0'),
                             f'{text}; writes right; one direction only')
        for result, text in (
                ('ones 8 8 0', 'writes corrupted (all ones), 8 of 8 words'),
                ('stale 8 8 0', 'writes dropped (stale), 8 of 8 words'),
                ('displaced 9 8 4096',
                 'writes at a wrong offset (+4096 bytes)'),
                ('corrupt 8 8 0', 'writes corrupted, 8 of 8 words')):
            self.assertEqual(self.wrong('right 0 8 0', result),
                             f'reads right; {text}; one direction only')

    def test_both_directions(self):
        what = self.wrong('ones 8 8 0', 'corrupt 1 8 0')
        self.assertNotIn('one direction only', what)
        self.assertIn('reads dropped', what)
        self.assertIn('writes corrupted', what)

    def test_one_way(self):
        """One side of the connection is right."""
        script = transfers().replace('remote right 0 8 0', 'remote ones 8 8 0', 1)
        what = self.verify(3, script + pages(8, 0) + grant(8))[3]
        self.assertIn('reads dropped (all ones), 8 of 8 words, only by RDMA READ;',
                      what)

    def test_wrong_and_untried(self):
        """It ends after the first: what is known counts."""
        what = self.verify(3, 'echo transfer read READ remote ones 8 8 0\n' +
                           pages(8, 0) + 'echo untried no more\nexit 1\n')[3]
        self.assertIn('reads dropped (all ones)', what)
        self.assertIn('writes not tried', what)
        self.assertIn('no more', what)

    def test_no_consent(self):
        self.machine.p2pdma(GPU, clients=(client('04:00.0'),), consent=0)
        verdict, aliased, moved, what = self.verify(
            4, transfers() + pages(0, 8) + refuse(8, 'no-consent'))
        self.assertEqual((verdict, aliased, moved), ('none', '0', '8'))
        self.assertEqual(what, 'right through RAM: exporter does not consent to '
                         'peer access (its p2pdma/peer_access is 0)')

    def test_kernels_reason(self):
        """Nothing was in the way that can be seen."""
        for exporter in GPU, 'none':
            what = self.verify(4, transfers() + pages(0, 8) +
                               '>"$UNTRACED"\n' +
                               refuse(6, 'exporter-refused', exporter) +
                               refuse(2, 'busy', exporter))[3]
            self.assertEqual(what, 'right through RAM: exporter-refused:6 busy:2')

    def test_wrong_in_ram(self):
        """The administrator's switch would not help."""
        verdict, _, _, what = self.verify(3, transfers('ones 8 8 0') +
                                          pages(0, 8))
        self.assertEqual(verdict, 'wrong')
        self.assertNotIn('forbid', what)

    def test_some_moved(self):
        self.assertEqual(self.verify(5, transfers() + pages(7, 1) + grant(8)),
                         ['untried', '8', '1', '1 of 8 pages moved to RAM'])

    def test_no_alias(self):
        """Pages stay, and the kernel has granted too few, or to another."""
        for script in (grant(7), grant(8).replace('$$', '1'),
                       grant(8).replace(GPU, '0000:09:00.0')):
            verdict, *_, what = self.verify(
                5, '>"$UNTRACED"\n' + transfers() + pages(8, 0) + script)
            self.assertEqual(verdict, 'untried')
            self.assertIn('8 pages stayed, but the kernel granted', what)

    def test_no_owners(self):
        """A kernel without memory cgroups does not say whose memory it is."""
        self.verify(0, transfers() + pages(8, 0) + grant(8).replace('$$', '0'))


class Trials(VerifyTest):
    def test_arguments(self):
        self.helper('[ "$*" = "mlx5_0 0000:03:00.0 7" ] || exit 1\n' + RIGHT)
        self.run_program(0, '--timeout', '7')

    def test_untried(self):
        self.assertEqual(self.verify(5, 'echo untried out of memory\nexit 1\n'),
                         ['untried', '0', '0', 'out of memory'])

    def test_ends_early(self):
        for script, text in (
                ('exit 3', 'peerfault-verify ended with 3, doing this'),
                ('kill -9 $$', 'ended by signal 9, doing this')):
            for said in '', RIGHT:
                what = self.verify(5, f'{said}echo doing this\n{script}\n')[3]
                self.assertIn(text, what)
        what = self.verify(5, 'echo doing this\n')[3]
        self.assertEqual(what, 'it ended early, doing this')

    def test_another_version(self):
        for line in ('hello', 'pages many', 'transfer read READ remote odd 0 8 0',
                     'transfer read READ remote right 0 8', 'x' * 5000,
                     'transfer read READ remote rig 0 8 0',
                     'transfer reads READ remote right 0 8 0'):
            what = self.verify(5, f'echo {line}\n{RIGHT}')[3]
            self.assertIn('is of another version', what)
        what = self.verify(5, f'{RIGHT}echo transfer {WAYS[0]} right 0 8 0\n')[3]
        self.assertIn('is of another version', what)

    def test_parts_of_lines(self):
        words = 'transfer read READ remote right 0 8 0 text'
        script = ''.join(f"printf '{c}'\nsleep 0.01\n" for c in words) + 'echo\n'
        self.verify(0, script + RIGHT.replace(f'echo transfer {WAYS[0]} right 0 8 0\n',
                                              ''))

    def test_hangs(self):
        """There is a line, and the program is gone."""
        self.helper('echo $$ >"$UNTRACED.pid"\necho doing the third\n'
                    'exec sleep 1000\n')
        begin = time.monotonic()
        lines = self.run_program(5, '-t', '1').stdout.splitlines()
        self.assertLess(time.monotonic() - begin, 30)
        self.assertRegex(lines[1], 'untried .* timed out, doing the third$')
        pid = (self.tmp / 'events.pid').read_text().strip()
        self.assertFalse(os.path.exists(f'/proc/{pid}'))

    def test_terminated(self):
        """What is run ends with it."""
        self.helper('echo $$ >"$UNTRACED.pid"\nexec sleep 1000\n')
        with subprocess.Popen(self.command(), env=self.environment,
                              stdout=subprocess.PIPE) as child:
            path = self.tmp / 'events.pid'
            while not path.exists() or not path.read_text().endswith('\n'):
                time.sleep(0.05)
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=30)
        self.assertEqual(child.returncode, 1)
        self.assertFalse(os.path.exists(f'/proc/{path.read_text().strip()}'))

    def test_no_program(self):
        done = self.run_program(5)
        self.assertIn('no peerfault-verify beside', done.stderr)

    def test_no_trace(self):
        self.helper(RIGHT)
        del self.environment['UNTRACED']
        self.assertIn('no trace', self.run_program(5).stderr)

    def test_timeouts(self):
        for text in ('0', '', 'x', '1x', '3601', '-1'):
            self.run_program(2, '--timeout', text)


class VerifyPairs(VerifyTest):
    def test_no_exporter(self):
        self.machine.p2pdma(GPU, bars=())
        self.assertEqual(self.run_program(4).stdout, 'no pair: no exporter\n')

    def test_unknown(self):
        """Nobody knows whether there is one."""
        shutil.rmtree(self.machine.sys / 'bus')
        self.assertIn('bus/pci/devices', self.run_program(5).stderr)

    def test_no_importer(self):
        shutil.rmtree(self.machine.sys / 'class')
        (self.machine.sys / f'class/misc/hmm_dma-{NIC}').mkdir(parents=True)
        self.assertEqual(self.run_program(4).stdout, 'no pair: no RDMA device\n')

    def test_cannot_fault(self):
        """It is not even tried."""
        shutil.rmtree(self.machine.sys / 'class')
        self.nic('mlx5_0', odp='-')
        verdict, *_, what = self.verify(4, 'echo untried it was\n')
        self.assertEqual(verdict, 'none')
        self.assertIn('importer cannot fault', what)

    def test_bars(self):
        """A device is tried once, whatever BARs it has."""
        self.machine.p2pdma(GPU, bars=(
            'bar=0 size=1048576 aperture=1048576 cpu=0',
            'bar=2 size=1048576 aperture=1048576 cpu=0'))
        self.verify(0, RIGHT)

    def test_exit_codes(self):
        """Of several pairs: wrong, then untried, then right"""
        self.nic('mlx5_1')
        cases = {
            'right': RIGHT, 'none': transfers() + pages(0, 8),
            'untried': 'echo untried no\n',
            'wrong': transfers('ones 8 8 0') + pages(8, 0) + grant(8)}
        for one, other, code in (
                ('right', 'none', 0), ('none', 'none', 4),
                ('none', 'untried', 5), ('right', 'untried', 5),
                ('untried', 'wrong', 3), ('right', 'wrong', 3)):
            self.helper(f'if [ $1 = mlx5_0 ]; then\n{cases[one]}else\n'
                        f'{cases[other]}fi\n')
            lines = self.run_program(code).stdout.splitlines()
            self.assertEqual([line.split()[2] for line in lines],
                             ['verdict', one, other])

    def test_json(self):
        self.nic('mlx5_1')
        self.helper('if [ $1 = mlx5_0 ]; then\n' + RIGHT + 'else\n' +
                    transfers('right 0 8 0', 'displaced 8 8 64 "first at"') +
                    pages(8, 0) + grant(8) + 'fi\n')
        one, other = json.loads(self.run_program(3, '--json').stdout)['verify']
        self.assertEqual(
            {key: one[key] for key in one if key != 'transfers'},
            {'exporter': GPU, 'importer': 'mlx5_0', 'verdict': 'right',
             'aliased': 8, 'stayed': 8, 'moved': 0, 'refused': None,
             'what': 'reads right; writes right', 'switch': None})
        self.assertEqual(one['transfers'][1], {
            'direction': 'read', 'operation': 'WRITE', 'side': 'local',
            'result': 'right', 'wrong': 0, 'words': 8, 'distance': None,
            'text': None})
        self.assertEqual(other['verdict'], 'wrong')
        self.assertEqual(other['switch'], SWITCH)
        self.assertEqual(other['transfers'][3], {
            'direction': 'write', 'operation': 'READ', 'side': 'local',
            'result': 'displaced', 'wrong': 8, 'words': 8, 'distance': 64,
            'text': 'first at'})

    def test_json_without_pairs(self):
        self.machine.p2pdma(GPU, bars=())
        self.assertEqual(json.loads(self.run_program(4, '-j').stdout),
                         {'verify': []})

    def test_full(self):
        self.helper(RIGHT)
        with open('/dev/full', 'w', encoding='ascii') as full:
            done = subprocess.run(self.command(), env=self.environment,
                                  stdout=full, check=False, timeout=60)
        self.assertEqual(done.returncode, 1)


if __name__ == '__main__':
    if sys.argv[1:] == ['--list']:
        for case in (Verdicts, Trials, VerifyPairs):
            for name in unittest.defaultTestLoader.getTestCaseNames(case):
                print(f'{case.__name__}.{name}')
    else:
        unittest.main()
