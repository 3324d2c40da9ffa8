#!/bin/sh
# The first process of a machine: mounts, network, the program that keelhaul brings, an SSH server. It answers sooner than a service
# manager would, and starts nothing that would get in the way of a fault: no time synchronisation, no timers.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/sshd
mount -o remount,rw /
modprobe -a virtio_net virtio_rng fuse

for word in $(cat /proc/cmdline); do
  case $word in
    keelhaul.name=*) name=${word#*=} ;;
    keelhaul.address=*) address=${word#*=} ;;
    keelhaul.program=*) program=${word#*=} ;;
  esac
done
hostname "${name:-machine}"
{
  echo 127.0.0.1 localhost
  for i in 1 2 3 4 5 6 7 8 9; do echo "${address%.*}.$i n$i"; done
} > /etc/hosts
ip link set lo up
if [ -n "$address" ]; then
  # The driver may take a moment to find its device.
  i=0
  until ip link show dev eth0 > /dev/null 2>&1 || [ $i = 100 ]; do
    i=$((i + 1))
    sleep 0.05
  done
  ip address add "$address" dev eth0
  ip link set eth0 up
fi

# The program, from a disk of its own. Durable before it counts as there: the power may fail at any time.
if [ -n "$program" ] && [ -b /dev/vdb ]; then
  dir=/root/.cache/keelhaul/$program
  if ! [ -e "$dir/ready" ]; then
    mkdir -p "$dir" && tar -x -C "$dir" -f /dev/vdb && sync && touch "$dir/ready" && sync
  fi
fi

/usr/sbin/sshd
echo "keelhaul-up $(cut -d ' ' -f 1 /proc/uptime)" > /dev/ttyS0
# As the first process it is the parent of all orphans.
while :; do
  sleep 1000 &
  wait $!
done
