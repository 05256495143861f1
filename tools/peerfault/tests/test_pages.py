#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`peerfault pages` on processes that are made up: copies of /proc.

PEERFAULT is the program under test. unit.sh builds it and runs these; with --list,
their names are printed.
"""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import nobody

PAGE = os.sysconf('SC_PAGESIZE')
PID = 42
AT = 0x7f0000000000
RAM, GPU, GPU2 = 0x100000, 0x3fff0000, 0x3ffe0000    # page frames
IOMEM = [('', 0, 0xfff, 'Reserved'), ('', 0x1000, 0xbfffffff, 'System RAM'),
         ('  ', 0x1000000, 0x1ffffff, 'Kernel code'),
         ('', 0xc0000000, 0xdfffffff, 'PCI Bus 0000:00'),
         ('  ', 0xd0000000, 0xd0ffffff, '0000:03:00.0'),
         ('', RAM * PAGE, (RAM << 1) * PAGE - 1, 'System RAM'),
         ('', 1 << 40, (1 << 41) - 1, 'dax0.0'),
         ('  ', 1 << 40, (1 << 41) - 1, 'System RAM (kmem)'),
         ('', GPU2 * PAGE, GPU * PAGE - 1, 'nouveau_dmem'),
         ('', GPU * PAGE, GPU * PAGE + (1 << 28) - 1, '0000:03:00.0')]
ABSENT = 0


def present(frame):
    return 1 << 63 | frame


def soft(kind, value):
    """What maps no page. The bits above tell what nobody asks for here."""
    return 1 << 62 | 1 << 55 | value << 5 | kind


class PagesTest(unittest.TestCase):
    def setUp(self):
        self.proc = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.proc)
        (self.proc / str(PID)).mkdir()
        self.iomem(IOMEM)
        self.swaps(1)
        self.maps = ''

    def iomem(self, lines):
        (self.proc / 'iomem').write_text(''.join(
            f'{indent}{first:08x}-{last:08x} : {name}\n'
            for indent, first, last, name in lines))

    def swaps(self, count):
        (self.proc / 'swaps').write_text(
            'Filename Type Size Used Priority\n' + '/dev/sda partition 9 0 -2\n' * count)

    def map(self, address, entries, name='', pages=None):
        """A mapping of PAGES pages, whose first ones have these entries"""
        end = address + (len(entries) if pages is None else pages) * PAGE
        self.maps += f'{address:x}-{end:x} rw-p 00000000 00:00 0 {name:>30}\n'
        (self.proc / f'{PID}/maps').write_text(self.maps)
        path = self.proc / f'{PID}/pagemap'
        path.touch()
        with path.open('r+b') as file:
            file.seek(address // PAGE * 8)
            file.write(struct.pack(f'={len(entries)}Q', *entries))

    def run_program(self, *args, code=0, **kwargs):
        done = subprocess.run([os.environ['PEERFAULT'], 'pages', '--proc', self.proc,
                               *map(str, args)], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=60, **kwargs)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def total(self, *args):
        """What is not 0 of the total"""
        total = json.loads(self.run_program(PID, *args, '--json').stdout)['total']
        return {name: value for name, value in total.items() if value}


class Places(PagesTest):
    def place(self, *entries):
        self.map(AT, entries)
        total = self.total()
        self.assertEqual(total.pop('pages'), len(entries))
        return total

    def test_ram(self):
        self.assertEqual(self.place(present(1), present(0x1000), present(RAM)),
                         {'ram': 3})

    def test_added_ram(self):
        self.assertEqual(self.place(present((1 << 40) // PAGE)), {'ram': 1})

    def test_absent(self):
        self.assertEqual(self.place(ABSENT, 1 << 55, ABSENT), {'absent': 3})

    def test_bar(self):
        self.assertEqual(self.place(present(0xd0000000 // PAGE)), {'other': 1})

    def test_device(self):
        """Read-only, writable, and the last page of its range"""
        self.assertEqual(
            self.place(soft(28, GPU), soft(29, GPU + 1),
                       soft(28, GPU + (1 << 28) // PAGE - 1)),
            {'device': 3, 'devices': {'0000:03:00.0': 3}})

    def test_two_devices(self):
        self.assertEqual(
            self.place(soft(28, GPU), soft(28, GPU2), soft(29, GPU - 1)),
            {'device': 3, 'devices': {'0000:03:00.0': 1, 'nouveau_dmem': 2}})

    def test_device_of_no_range(self):
        self.assertEqual(self.place(soft(28, 1 << 34)),
                         {'device': 1, 'devices': {'?': 1}})

    def test_swapped(self):
        """Also where the place in the area is the frame of a device"""
        self.assertEqual(self.place(soft(0, 7), soft(23, GPU), soft(1, RAM)),
                         {'swapped': 3})

    def test_in_between(self):
        """Poisoned, being moved from RAM or a device, with a device for a while"""
        self.assertEqual(
            self.place(soft(24, RAM), soft(25, RAM), soft(27, GPU), soft(30, RAM)),
            {'ram': 3, 'device': 1, 'devices': {'0000:03:00.0': 1}})

    def test_marker(self):
        self.assertEqual(self.place(soft(31, 1), soft(31, GPU)), {'absent': 2})

    def test_too_many_areas(self):
        self.map(AT, [present(RAM)])
        self.swaps(24)
        self.run_program(PID)
        self.swaps(25)
        self.assertIn('24 swap areas', self.run_program(PID, code=1).stderr)

    def test_no_swap(self):
        (self.proc / 'swaps').unlink()
        self.assertEqual(self.place(soft(28, GPU))['device'], 1)

    def test_too_many_devices(self):
        self.iomem(IOMEM + [('', (GPU << 4) + i * PAGE, (GPU << 4) + i * PAGE + PAGE - 1,
                             f'device {i}') for i in range(40)])
        first = (GPU << 4) // PAGE
        self.map(AT, [soft(28, first + i) for i in range(32)])
        self.assertEqual(len(self.total()['devices']), 32)
        self.map(AT, [soft(28, first + i) for i in range(33)])
        self.run_program(PID, code=1)


class Mappings(PagesTest):
    def test_json(self):
        self.map(AT, [present(RAM), soft(28, GPU), soft(2, 0)], '/a b"c')
        self.map(AT + 4 * PAGE, [ABSENT])
        self.assertEqual(json.loads(self.run_program(PID, '-j').stdout), {
            'pid': PID, 'mappings': [
                {'start': f'{AT:#x}', 'size': 3 * PAGE, 'name': '/a b"c', 'pages': 3,
                 'ram': 1, 'device': 1, 'swapped': 1, 'absent': 0, 'other': 0,
                 'devices': {'0000:03:00.0': 1}},
                {'start': f'{AT + 4 * PAGE:#x}', 'size': PAGE, 'name': None, 'pages': 1,
                 'ram': 0, 'device': 0, 'swapped': 0, 'absent': 1, 'other': 0,
                 'devices': {}}],
            'total': {'pages': 4, 'ram': 1, 'device': 1, 'swapped': 1, 'absent': 1,
                      'other': 0, 'devices': {'0000:03:00.0': 1}}})

    def test_table(self):
        self.map(AT, [present(RAM), soft(28, GPU), soft(28, GPU2)], '[heap]')
        rows = [line.split() for line in self.run_program(PID).stdout.splitlines()]
        self.assertEqual(rows, [
            ['address', 'pages', 'ram', 'device', 'swapped', 'absent', 'other',
             'devices', 'mapping'],
            [f'{AT:x}-{AT + 3 * PAGE:x}', '3', '1', '2', '0', '0', '0',
             '0000:03:00.0:1,nouveau_dmem:1', '[heap]'],
            ['total', '3', '1', '2', '0', '0', '0', '0000:03:00.0:1,nouveau_dmem:1',
             '-']])

    def test_large(self):
        """More than is read at a time"""
        self.map(AT, [present(RAM)] * 10000 + [soft(28, GPU)] * 20000)
        total = self.total()
        self.assertEqual((total['ram'], total['device']), (10000, 20000))

    def test_range(self):
        self.map(AT, [present(RAM)] * 8)
        self.map(AT + 16 * PAGE, [soft(28, GPU)] * 8)
        for args, want in (
                ((AT, 3 * PAGE), {'pages': 3, 'ram': 3}),
                ((hex(AT + 1), 1), {'pages': 1, 'ram': 1}),
                ((AT + PAGE - 1, 2), {'pages': 2, 'ram': 2}),
                ((AT + 7 * PAGE, 10 * PAGE),
                 {'pages': 2, 'ram': 1, 'device': 1, 'devices': {'0000:03:00.0': 1}}),
                ((AT + 8 * PAGE, 8 * PAGE), {})):
            self.assertEqual(self.total(*args), want, args)

    def test_vsyscall(self):
        self.map(AT, [present(RAM)])
        self.maps += 'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n'
        (self.proc / f'{PID}/maps').write_text(self.maps)
        self.assertEqual(self.total(), {'pages': 1, 'ram': 1})

    def test_ended(self):
        """pagemap has nothing more when the process has ended."""
        self.map(AT, [present(RAM)] * 4, pages=5)
        self.assertIn('No such process', self.run_program(PID, code=1).stderr)

    def test_no_process(self):
        self.assertIn('process 43: No such process',
                      self.run_program(PID + 1, code=1).stderr)

    def test_not_root(self):
        """Addresses are 0 then."""
        self.map(AT, [soft(0, 0)])
        self.iomem([(indent, 0, 0, name) for indent, _, _, name in IOMEM])
        done = self.run_program(PID, code=1)
        self.assertEqual(done.stdout, '')
        self.assertIn('only root can', done.stderr)

    def test_broken(self):
        self.map(AT, [present(RAM)])
        (self.proc / f'{PID}/maps').write_text('no mapping\n')
        self.run_program(PID, code=1)
        self.iomem([])
        (self.proc / 'iomem').write_text('no range\n')
        self.run_program(PID, code=1)
        (self.proc / 'iomem').unlink()
        self.run_program(PID, code=1)


class Usage(unittest.TestCase):
    def run_program(self, *args, **kwargs):
        return subprocess.run([kwargs.pop('program', os.environ['PEERFAULT']), 'pages',
                               *args], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=60, **kwargs)

    def test_help(self):
        for option in ('--help', '-h'):
            done = self.run_program(option)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, '^usage: peerfault pages ')
            self.assertIn('exit codes: 0 done', done.stdout)

    def test_usage(self):
        for args in ([], ['0'], ['-1'], ['x'], ['1x'], ['1', '2'], ['1', '2', '0'],
                     ['1', '2', '3', '4'], ['1', 'x', '3'], ['1', '2', '-3'],
                     ['1', hex(1 << 63), '1'], ['1', '1', hex(1 << 63)],
                     [str(1 << 32)], ['--no-such', '1'], ['-p']):
            done = self.run_program(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertEqual(done.stdout, '')
            self.assertNotEqual(done.stderr, '')

    def test_ordinary_user(self):
        with nobody.program() as program:
            done = self.run_program('1', program=program, cwd='/', **nobody.USER)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, '')
        self.assertIn('only root can', done.stderr)


if __name__ == '__main__':
    if sys.argv[1:] == ['--list']:
        for case in (Places, Mappings, Usage):
            for name in unittest.defaultTestLoader.getTestCaseNames(case):
                print(f'{case.__name__}.{name}')
    else:
        unittest.main()
