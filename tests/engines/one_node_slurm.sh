#!/usr/bin/env bash
# A SLURM cluster of this one machine, for the tests of the engine: sets it up from Debian's packages
# (slurmctld slurmd slurm-client munge; needs root) and starts its daemons by hand. `stop` ends them.
#
#   bash tests/engines/one_node_slurm.sh && .venv/bin/python -m pytest tests/engines
set -euo pipefail

ROOM=/tmp/learnmech-slurm

if [ "${1:-start}" = stop ]; then
    for daemon in slurmd slurmctld munged; do pkill -x "$daemon" || true; done
    exit 0
fi

if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
fi

mkdir -p "$ROOM/state" "$ROOM/spool" /etc/slurm /run/munge
cores=$(nproc)
memory=$(awk '/MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)
host=$(hostname -s)

# linuxproc: no cgroups are needed, which containers do not hand on
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$host
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$ROOM/state
SlurmdSpoolDir=$ROOM/spool
SlurmctldPidFile=$ROOM/slurmctld.pid
SlurmdPidFile=$ROOM/slurmd.pid
SlurmctldLogFile=$ROOM/slurmctld.log
SlurmdLogFile=$ROOM/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SchedulerParameters=sched_interval=2
NodeName=$host CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES MaxTime=60 State=UP OverSubscribe=NO
CONF

# -s and -S: keys and sockets where the daemon's own checks of owners allow them
[ -s /etc/munge/munge.key ] || { dd if=/dev/urandom bs=1 count=1024 of=/etc/munge/munge.key status=none; }
chown -R munge: /etc/munge /run/munge /var/log/munge /var/lib/munge
chmod 0700 /etc/munge /var/log/munge && chmod 0711 /var/lib/munge && chmod 0755 /run/munge
chmod 0400 /etc/munge/munge.key
pgrep -x munged >/dev/null || runuser -u munge -- /usr/sbin/munged
pgrep -x slurmctld >/dev/null || slurmctld
pgrep -x slurmd >/dev/null || slurmd

for _ in $(seq 30); do
    [ "$(sinfo --noheader --format=%T 2>/dev/null | head -1)" = idle ] && exit 0
    sleep 1
done
sinfo || true
echo "the node is not idle after 30 s: see $ROOM/slurmctld.log and $ROOM/slurmd.log" >&2
exit 1
