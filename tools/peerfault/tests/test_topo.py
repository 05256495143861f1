#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`peerfault topo` on machines that no guest is: made-up copies of sysfs.

PEERFAULT is the program under test, VERSION what it must say that it is.
unit.sh builds it and runs these; with --list, their names are printed.
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

BAR = 'bar=2 size=1048576 aperture=1048576 cpu=0'
UPSTREAM = '0000:00:01.0/0000:01:00.0'


class Machine:
    """A directory that looks like /sys."""

    def __init__(self, path):
        self.sys = path
        (self.sys / 'bus/pci/devices').mkdir(parents=True)

    def device(self, path, driver, dma_bits=64):
        """A PCI device at PATH below the root, BAR 2 at 64 GiB"""
        bdf = path.rpartition('/')[2]
        directory = self.sys / 'devices/pci0000:00' / path
        directory.mkdir(parents=True, exist_ok=True)
        drivers = self.sys / 'bus/pci/drivers' / driver
        drivers.mkdir(parents=True, exist_ok=True)
        (directory / 'driver').symlink_to(drivers)
        self.pci(bdf).symlink_to(f'../../../devices/pci0000:00/{path}')
        (directory / 'dma_mask_bits').write_text(f'{dma_bits}\n')
        (directory / 'resource').write_text(
            '0x0 0x0 0x0\n0x0 0x0 0x0\n'
            '0x0000001000000000 0x00000010000fffff 0x14220c\n')
        (directory / 'config').write_bytes(bytes(4096))

    def pci(self, bdf):
        return self.sys / 'bus/pci/devices' / bdf

    def acs(self, bdf, control):
        """ACS, second in the list of extended capabilities"""
        config = bytearray(4096)
        struct.pack_into('<HH', config, 0x100, 1, 0x1401)
        struct.pack_into('<HHHH', config, 0x140, 0x0d, 1, 0, control)
        (self.pci(bdf) / 'config').write_bytes(config)

    def iommu(self, bdf, kind):
        group = self.pci(bdf) / 'iommu_group'
        group.mkdir()
        (group / 'type').write_text(f'{kind}\n')

    def rdma(self, name, device=None, odp='explicit alias'):
        """An RDMA device on what is at DEVICE below the root"""
        directory = self.sys / 'class/infiniband' / name
        directory.mkdir(parents=True)
        if odp:
            (directory / 'odp').write_text(f'{odp}\n')
        if device:
            parent = self.sys / 'devices/pci0000:00' / device
            parent.mkdir(parents=True, exist_ok=True)
            (directory / 'device').symlink_to(parent)

    def p2pdma(self, bdf, bars=(BAR,), clients=(), consent=None):
        directory = self.pci(bdf) / 'p2pdma'
        directory.mkdir(exist_ok=True)
        (directory / 'bars').write_text(''.join(f'{b}\n' for b in bars))
        (directory / 'clients').write_text(''.join(f'{c}\n' for c in clients))
        if consent is not None:
            (directory / 'peer_access').write_text(f'{consent}\n')


def client(bdf, reach='bus-addr', untrusted=0, distance=4, vetoed=0):
    return (f'client=0000:{bdf} map={reach} distance={distance} '
            f'untrusted={untrusted} vetoed={vetoed}')


CLIENTS = (client('04:00.0'), client('05:00.0'),
           client('08:00.0', 'not-supported', distance=5))


class TopoTest(unittest.TestCase):
    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.tmp)
        self.tmp.chmod(0o755)
        self.program = self.tmp / 'peerfault'
        shutil.copy(os.environ['PEERFAULT'], self.program)
        self.machine = Machine(self.tmp / 'sys')

    def run_program(self, *args, **kwargs):
        return subprocess.run([self.program, *args], text=True,
                              stdout=kwargs.pop('stdout', subprocess.PIPE),
                              stderr=subprocess.PIPE, check=False,
                              timeout=60, **kwargs)

    def topo(self, *args, code=0, **kwargs):
        done = self.run_program('topo', '--sysfs', self.machine.sys, *args,
                                **kwargs)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def json(self, **kwargs):
        return json.loads(self.topo('--json', **kwargs).stdout)

    def pair(self, importer, exporter='03:00.0', **kwargs):
        found = [p for p in self.json(**kwargs)['pairs']
                 if p['exporter'] == f'0000:{exporter}'
                 and p['importer'] == importer]
        self.assertEqual(len(found), 1)
        return found[0]

    def switch(self, clients=CLIENTS, **kwargs):
        """A switch below 00:01.0 with GPU 03 and NICs 04, 05; NICs 08 and
        10000:00:01.0 are below another root port, and one is a CPU"""
        machine = self.machine
        machine.device('0000:00:01.0', 'pcieport')
        machine.device(UPSTREAM, 'pcieport')
        for n in range(3):
            machine.device(f'{UPSTREAM}/0000:02:0{n}.0', 'pcieport')
        machine.device('0000:00:02.0', 'pcieport')
        machine.device(f'{UPSTREAM}/0000:02:00.0/0000:03:00.0', 'gpu', 47)
        machine.device(f'{UPSTREAM}/0000:02:01.0/0000:04:00.0', 'mlx5_core')
        machine.device(f'{UPSTREAM}/0000:02:02.0/0000:05:00.0', 'nic', 32)
        machine.device('0000:00:02.0/0000:08:00.0', 'nic')
        machine.device('0000:00:02.0/10000:00:01.0', 'nic')
        machine.rdma('mlx5_0',
                     f'{UPSTREAM}/0000:02:01.0/0000:04:00.0/mlx5.rdma.0')
        machine.rdma('small', f'{UPSTREAM}/0000:02:02.0/0000:05:00.0')
        machine.rdma('far', '0000:00:02.0/0000:08:00.0')
        machine.rdma('vmd', '0000:00:02.0/10000:00:01.0')
        machine.rdma('odd"name\\\n')
        machine.p2pdma('0000:03:00.0', clients=clients, **kwargs)


class Commands(TopoTest):
    def test_this_machine(self):
        done = self.run_program('topo', '--json')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(set(json.loads(done.stdout)),
                         {'exporters', 'importers', 'pairs', 'missing'})

    def test_help(self):
        for args in (['--help'], ['-h'], ['topo', '--help'], ['topo', '-h']):
            done = self.run_program(*args)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, '^usage: peerfault ')
            self.assertIn('exit codes: 0 done', done.stdout)

    def test_version(self):
        version = os.environ['VERSION']
        for args in (['--version'], ['-V'], ['topo', '--version']):
            done = self.run_program(*args)
            self.assertEqual(done.returncode, 0)
            self.assertEqual(done.stdout, f'peerfault {version}\n')

    def test_usage(self):
        for args in ([], ['no-such'], ['topo', '--no-such'], ['topo', 'word']):
            done = self.run_program(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertEqual(done.stdout, '')
            self.assertNotEqual(done.stderr, '')

    def test_full(self):
        self.switch()
        for args in (['topo', '--sysfs', self.machine.sys], ['--help']):
            with open('/dev/full', 'w', encoding='ascii') as full:
                done = self.run_program(*args, stdout=full)
            self.assertEqual(done.returncode, 1)
            self.assertIn('No space left', done.stderr)


class Exporters(TopoTest):
    def test_none(self):
        self.assertEqual(self.json(), {'exporters': [], 'importers': [],
                                       'pairs': [], 'missing': []})
        text = self.topo().stdout
        self.assertRegex(text, '(?m)^no exporter: ')
        self.assertRegex(text, '(?m)^no importer: ')

    def test_no_pci(self):
        shutil.rmtree(self.machine.sys / 'bus')
        self.assertIn('cannot read', self.json()['missing'][0])
        self.assertRegex(self.topo().stdout, '(?m)^exporters: not known')

    def test_one(self):
        self.switch(bars=('bar=0 size=4096 aperture=0 cpu=1', BAR), consent=1)
        self.assertEqual(self.json()['exporters'], [{
            'device': '0000:03:00.0', 'driver': 'gpu', 'bar': 2,
            'bar_size': 1 << 20, 'aperture': 1 << 20, 'consent': True,
            'cpu_access': False, 'iommu': 'none'}])

    def test_two_bars(self):
        self.switch(bars=(BAR, 'bar=4 size=8192 aperture=4096 cpu=1 new=1'))
        bars = [(e['bar'], e['aperture'], e['cpu_access'])
                for e in self.json()['exporters']]
        self.assertEqual(bars, [(2, 1 << 20, False), (4, 4096, True)])
        self.assertEqual(len(self.json()['pairs']), 10)

    def test_no_aperture(self):
        self.switch(bars=('bar=0 size=16384 aperture=0 cpu=0',))
        self.assertEqual(self.json()['exporters'], [])

    def test_unknown_format(self):
        self.switch(bars=('bar=2 size=12',))
        done = self.topo(code=1)
        self.assertIn('0000:03:00.0: cannot read: bar=2', done.stderr)

    def test_table(self):
        """One line for each, with the same columns"""
        self.switch(consent=1)
        lines = self.topo().stdout.splitlines()
        self.assertIn(['0000:03:00.0', 'gpu', '2', '1MiB', '1MiB', 'yes',
                       'no', 'none'], [line.split() for line in lines])
        pair = [line.split(None, 5) for line in lines
                if line.startswith('0000:03:00.0') and 'mlx5_0' in line]
        self.assertEqual(pair, [['0000:03:00.0', 'mlx5_0', 'bus-addr', '4*',
                                 'no', 'yes']])
        self.assertIn(['mlx5_0', '0000:04:00.0', 'yes', 'yes', '64', 'none'],
                      [line.split() for line in lines])

    def test_nobody(self):
        """An ordinary user learns all but ACS."""
        self.switch()
        for config in self.machine.sys.glob('devices/**/config'):
            config.chmod(0)
        document = self.json(**nobody.USER)
        self.assertEqual(len(document['exporters']), 1)
        self.assertEqual(len(document['missing']), 1)
        self.assertIn('only root', document['missing'][0])
        pair = self.pair('mlx5_0', **nobody.USER)
        self.assertTrue(pair['peer_access'])
        self.assertIsNone(pair['acs_redirect'])

    def test_unreadable(self):
        self.switch()
        (self.machine.pci('0000:03:00.0') / 'p2pdma/bars').chmod(0)
        self.assertIn('p2pdma/bars of 0000:03:00.0: Permission denied',
                      self.json(**nobody.USER)['missing'][0])


class Pairs(TopoTest):
    def refused(self, importer, *words):
        pair = self.pair(importer)
        self.assertFalse(pair['peer_access'])
        for word in words:
            self.assertIn(word, pair['why_not'])
        return pair

    def test_yes(self):
        self.switch(consent=1)
        self.assertEqual(self.pair('mlx5_0'), {
            'exporter': '0000:03:00.0', 'bar': 2, 'importer': 'mlx5_0',
            'importer_device': '0000:04:00.0', 'fabric': 'bus-addr',
            'distance': 4, 'nearest': True, 'untrusted': False,
            'vetoed': False, 'acs_redirect': [],
            'peer_access': True, 'why_not': None})

    def test_odp(self):
        """Who cannot fault reaches nothing, whatever the fabric does."""
        self.switch()
        path = self.machine.sys / 'class/infiniband/mlx5_0/odp'

        def importer():
            return next((m['odp'], m['aliases'])
                        for m in self.json()['importers']
                        if m['name'] == 'mlx5_0')

        self.assertEqual(importer(), (True, True))
        path.write_text('explicit implicit\n')
        self.assertEqual(importer(), (True, False))
        self.refused('mlx5_0', 'driver does not ask')
        path.write_text('none\n')
        self.assertEqual(importer(), (False, False))
        self.refused('mlx5_0', 'importer cannot fault')
        # An older kernel
        path.unlink()
        self.assertEqual(importer(), (None, None))
        self.assertTrue(self.pair('mlx5_0')['peer_access'])

    def test_test_importer(self):
        """The kernel's test_hmm_dma faults, and has no file that says so."""
        self.switch()
        device = self.machine.sys / 'class/misc/hmm_dma-0000:04:00.0'
        device.mkdir(parents=True)
        (device / 'device').symlink_to(
            self.machine.sys / 'devices/pci0000:00' / UPSTREAM /
            '0000:02:01.0/0000:04:00.0')
        found = next(m for m in self.json()['importers']
                     if m['name'] == device.name)
        self.assertEqual((found['odp'], found['aliases']), (True, True))

    def test_nearest(self):
        """A hint: of the exporters that it reaches, that with the fewest steps"""
        self.switch(clients=[client('04:00.0', distance=4),
                             client('05:00.0', 'not-supported', distance=2)])
        self.machine.device(f'{UPSTREAM}/0000:02:00.0/0000:09:00.0', 'gpu', 47)
        self.machine.p2pdma('0000:09:00.0',
                            clients=[client('04:00.0', distance=6),
                                     client('05:00.0', distance=6)])
        pairs = {(p['exporter'], p['importer']): p['nearest']
                 for p in self.json()['pairs']}
        self.assertTrue(pairs['0000:03:00.0', 'mlx5_0'])
        self.assertFalse(pairs['0000:09:00.0', 'mlx5_0'])
        self.assertFalse(pairs['0000:03:00.0', 'small'])
        self.assertTrue(pairs['0000:09:00.0', 'small'])
        self.assertIsNone(pairs['0000:09:00.0', 'far'])

    def test_domain_of_5_digits(self):
        self.switch()
        self.assertEqual(self.pair('vmd')['importer_device'], '10000:00:01.0')

    def test_dma_mask(self):
        self.switch()
        self.refused('small', 'mask of 32 bits does not reach',
                     'ends at 0x10000fffff')

    def test_dma_mask_behind_iommu(self):
        self.switch(clients=[client('05:00.0', 'thru-host-bridge')])
        self.machine.iommu('0000:05:00.0', 'DMA-FQ')
        self.assertTrue(self.pair('small')['peer_access'])
        iommu = {m['name']: m['iommu'] for m in self.json()['importers']}
        self.assertEqual(iommu['small'], 'DMA-FQ')

    def test_dma_mask_and_identity(self):
        self.switch(clients=[client('05:00.0', 'thru-host-bridge')])
        self.machine.iommu('0000:05:00.0', 'identity')
        self.refused('small', 'mask of 32 bits')

    def test_root_ports(self):
        self.switch()
        self.refused('far', 'no common switch')

    def test_cpu(self):
        self.switch()
        pair = self.refused('odd"name\\\n', 'importer has no DMA engine',
                            'parameter cpu_access')
        self.assertEqual(pair['fabric'], 'cpu')
        self.machine.p2pdma('0000:03:00.0', [BAR.replace('cpu=0', 'cpu=1')])
        self.assertTrue(self.pair('odd"name\\\n')['peer_access'])

    def test_consent(self):
        self.switch(consent=0)
        self.refused('mlx5_0', 'does not consent')
        self.assertFalse(self.json()['exporters'][0]['consent'])
        self.assertEqual(self.pair('far')['why_not'].count('; '), 1)
        self.machine.p2pdma('0000:03:00.0', clients=CLIENTS, consent=1)
        self.assertTrue(self.pair('mlx5_0')['peer_access'])
        self.assertTrue(self.json()['exporters'][0]['consent'])

    def test_consent_unknown(self):
        self.switch()
        self.assertIsNone(self.json()['exporters'][0]['consent'])
        self.assertTrue(self.pair('mlx5_0')['peer_access'])

    def test_vetoed(self):
        self.switch(clients=[client('04:00.0', vetoed=1)])
        self.assertTrue(self.refused('mlx5_0', 'vetoed')['vetoed'])

    def test_untrusted(self):
        self.switch(clients=[client('04:00.0', untrusted=1) + ' more=1'])
        self.assertTrue(self.refused('mlx5_0', 'untrusted')['untrusted'])

    def test_unbound(self):
        self.switch(clients=CLIENTS[1:])
        pair = self.refused('mlx5_0', 'no driver is bound')
        self.assertEqual(pair['fabric'], 'unknown')

    def test_cut_line(self):
        """Devices came and went while the kernel listed clients."""
        self.switch(clients=['client=0000:04:00.0 map=bus', *CLIENTS])
        self.assertTrue(self.pair('mlx5_0')['peer_access'])

    def test_acs(self):
        self.switch(clients=[client('04:00.0', 'not-supported')])
        self.machine.acs('0000:02:01.0', 0x04)
        pair = self.refused('mlx5_0', 'ACS at 0000:02:01.0 redirects')
        self.assertEqual(pair['acs_redirect'], ['0000:02:01.0'])

    def test_acs_twice(self):
        self.switch()
        self.machine.acs('0000:02:00.0', 0x08)
        self.machine.acs('0000:02:01.0', 0x20)
        self.assertEqual(self.pair('mlx5_0')['acs_redirect'],
                         ['0000:02:00.0', '0000:02:01.0'])

    def test_acs_of_no_matter(self):
        """Source validation redirects nothing, nor does ACS above both."""
        self.switch()
        self.machine.acs('0000:02:00.0', 0x01)
        self.machine.acs('0000:00:01.0', 0x1d)
        self.assertEqual(self.pair('mlx5_0')['acs_redirect'], [])

    def test_acs_of_root_ports(self):
        self.switch()
        self.machine.acs('0000:00:02.0', 0x04)
        self.refused('far', 'no common switch')


if __name__ == '__main__':
    if sys.argv[1:] == ['--list']:
        for case in (Commands, Exporters, Pairs):
            for name in unittest.defaultTestLoader.getTestCaseNames(case):
                print(f'{case.__name__}.{name}')
    else:
        unittest.main()
