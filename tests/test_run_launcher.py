import subprocess
import sys

from ops_platform.run_launcher import lives


def test_a_process_lives_until_it_ends_collected_or_not():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert lives(process.pid)

    process.kill()
    while lives(process.pid):
        pass  # a zombie now, for nobody has waited for it

    process.wait()
    assert not lives(process.pid)
