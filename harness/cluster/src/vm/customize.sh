# Makes of a directory with Debian in it the files that machines boot: kernel, initial file system, disk. Called by mmdebstrap, which may have made
# a user namespace for it.
#   $1 the directory, $2 what belongs into it, and in its `out` what comes of it, $3 the size of the disk
set -eu
root=$1 build=$2 size=$3
install -m 755 "$build/init.sh" "$root/usr/sbin/keelhaul-init"
install -d -m 700 "$root/root/.ssh"
install -m 600 "$build/key.pub" "$root/root/.ssh/authorized_keys"
rm -f "$root"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C '' -f "$root/etc/ssh/ssh_host_ed25519_key"
cp "$root/etc/ssh/ssh_host_ed25519_key.pub" "$build/out/host_key.pub"
cat > "$root/etc/ssh/sshd_config" <<'CONFIG'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
PrintMotd no
Subsystem sftp internal-sftp
CONFIG
cp "$root"/boot/vmlinuz-* "$build/out/vmlinuz"
cp "$root"/boot/initrd.img-* "$build/out/initrd"
rm -rf "$root"/boot/* "$root"/vmlinuz* "$root"/initrd.img* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
# What is mounted inside is not part of it; this is a mount namespace of our own.
# The outermost first, with all that is below.
awk -v inside="$root/" 'index($2, inside) == 1 { print $2 }' /proc/self/mounts | sort | while read -r mounted; do
  umount -l "$mounted" 2> /dev/null || true
done
if awk -v inside="$root/" 'index($2, inside) == 1 { exit 1 }' /proc/self/mounts; then :; else
  echo "something is still mounted below $root" >&2
  exit 1
fi
mke2fs -q -F -t ext4 -L keelhaul -d "$root" "$build/out/disk.img" "$size"
chmod 644 "$build"/out/*
