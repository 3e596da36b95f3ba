# Unpacks the environment of the workers once per node, and activates it. Bash sources this before the workers start.
#
# `start_script` puts the variables fasthep_env_* in front. Needed: bash 4.2, tar, coreutils, zstd or gzip; better with
# flock (util-linux) and find. All names begin with fasthep_env_. What may fail runs in a function, in a condition: no trap
# and no option of the caller sees it. What changes options runs in a subshell.
# shellcheck shell=bash disable=SC2154 # the variables in front

fasthep_env_say() {
    if declare -F fasthep_say >/dev/null; then fasthep_say "$1"; else echo "fasthep-parsl: $1" >&2; fi
}

# --- what this node is ----------------------------------------------------------------------------------------------

fasthep_env_check_node() {
    local machine platform libc major minor
    machine=$(uname -m)
    case $machine in
    x86_64 | amd64) platform=linux-64 ;;
    aarch64 | arm64) platform=linux-aarch64 ;;
    i?86) platform=linux-32 ;;
    *) platform=linux-$machine ;;
    esac
    if [ "$platform" != "$fasthep_env_platform" ]; then
        fasthep_env_say "this node is $machine, the environment \`$fasthep_env_name\` is for $fasthep_env_platform: use other nodes, or pack it for $platform"
        return 1
    fi
    [ -n "$fasthep_env_glibc" ] || return 0
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || return 0
    case $libc in "glibc "[0-9]*.[0-9]*) ;; *) return 0 ;; esac
    libc=${libc#glibc } major=${libc%%.*} minor=${libc#*.}
    minor=${minor%%[!0-9]*}
    if [ $((major * 1000 + minor)) -lt $((${fasthep_env_glibc%%.*} * 1000 + ${fasthep_env_glibc#*.})) ]; then
        fasthep_env_say "this node has glibc $libc, the environment \`$fasthep_env_name\` needs $fasthep_env_glibc: use nodes with a newer system, or pack it on an older one"
        return 1
    fi
}

# --- where ----------------------------------------------------------------------------------------------------------

# the folders in which the environment can be, in the order in which they are tried
fasthep_env_find_folders() {
    local folder seen=$'\n'
    fasthep_env_folders=()
    if [ -n "$fasthep_env_has_cache" ]; then
        folder=$(set +u; fasthep_env_cache)
        [ -z "$folder" ] || mkdir -p -- "$folder" 2>/dev/null
        fasthep_env_folders=("$folder")
        return 0
    fi
    for folder in "${_CONDOR_SCRATCH_DIR:-}" "${SLURM_TMPDIR:-}" "${TMPDIR:-}" /local/scratch /tmp; do
        [ -d "$folder" ] || continue
        case $seen in *$'\n'"$folder"$'\n'*) continue ;; esac
        seen=$seen$folder$'\n'
        fasthep_env_folders+=("$folder")
    done
    return 0
}

# set fasthep_env_all to our folder in folder $1, and fasthep_env_dir to that of the environment; or set fasthep_env_reason
fasthep_env_check_folder() {
    local own=$1/fasthep-parsl-$EUID modes
    case $1 in
    '') fasthep_env_reason="its name is empty" && return 1 ;;
    *[:\'\"\\\$\`]* | *$'\n'* | *$'\r'*)
        fasthep_env_reason="PATH and scripts cannot contain such a name" && return 1
        ;;
    /*) ;;
    *) fasthep_env_reason="it is not an absolute path" && return 1 ;;
    esac
    if [ ! -e "$own" ] && [ ! -L "$own" ]; then
        fasthep_env_reason=$(LC_ALL=C mkdir -m 0700 -- "$own" 2>&1) || [ -d "$own" ] || {
            fasthep_env_reason=${fasthep_env_reason##*: }
            return 1
        }
    fi
    # others can write to /tmp: what we use must be ours
    if [ -L "$own" ] || [ ! -d "$own" ]; then
        fasthep_env_reason="\`$own\` is not a folder but something else, such as a link: remove it" && return 1
    elif [ ! -O "$own" ]; then
        fasthep_env_reason="\`$own\` belongs to another user" && return 1
    fi
    modes=$(LC_ALL=C stat -c %a -- "$own" "$1/." 2>/dev/null) || modes=
    case $modes in
    [0-7]*$'\n'[0-7]*) ;;
    *) fasthep_env_reason="\`stat\` fails there" && return 1 ;;
    esac
    if [ $((8#${modes%%$'\n'*} & 077)) -ne 0 ]; then
        fasthep_env_reason="other users can enter \`$own\`: remove it" && return 1
    elif [ $((8#${modes##*$'\n'} & 01002)) -eq 2 ]; then
        fasthep_env_reason="all users can rename folders in it, since it has no sticky bit: use a folder of your own" && return 1
    fi
    fasthep_env_all=$own/environments
    fasthep_env_dir=$fasthep_env_all/$fasthep_env_hash
}

# --- an environment that is there -----------------------------------------------------------------------------------

# print the number of files of environment $1 plus their sizes, without those that were written or changed after file $2
# compiled code is in the archive, in a form that Python never writes again
fasthep_env_fingerprint() {
    local terms
    terms=$(find "$1" -mindepth 2 ! -type d ! -cnewer "$2" -printf '%s+1+' 2>/dev/null) || terms=
    echo "$((${terms}0))"
}

# whether the environment in folder $1 can be used: complete, and as it was when it was unpacked
fasthep_env_intact() {
    local format fingerprint prefix fd='' code=0
    [ -f "$1/.ready" ] && [ -x "$1/bin/python" ] && [ -f "$1/.fasthep-parsl/activate.sh" ] || return 1
    { read -r format fingerprint _ && read -r prefix; } <"$1/.ready" || return 1
    [ "$format" = 1 ] && [ "$prefix" = "$1" ] || return 1
    [ "$fingerprint" != 0 ] || return 0
    # of many starts at the same time one looks at all files, and the others wait for it
    { exec {fd}<"$1/.checked"; } 2>/dev/null && flock -x -w 60 "$fd" 2>/dev/null
    if ! fasthep_env_checked "$1"; then
        [ "$fingerprint" = "$(fasthep_env_fingerprint "$1" "$1/.ready")" ] || code=1
        [ "$code" -ne 0 ] || { : >|"$1/.checked"; } 2>/dev/null
    fi
    [ -z "$fd" ] || exec {fd}<&-
    return "$code"
}

# whether a start has looked at the files of environment $1 within the last minute
fasthep_env_checked() {
    local now age
    printf -v now '%(%s)T' -1
    age=$((now - $(stat -c %Y -- "$1/.checked" 2>/dev/null || echo 0)))
    [ "$age" -ge 0 ] && [ "$age" -lt 60 ]
}

# lock the environment and check it; the lock lasts as long as a process has the file descriptor
fasthep_env_open() {
    local code=0
    fasthep_env_damaged=
    [ -f "$fasthep_env_dir/.ready" ] && { exec {fasthep_env_fd}<"$fasthep_env_dir"; } 2>/dev/null || return 1
    # an exclusive lock lasts for a moment: who has it moves the folder away
    flock -s -w 60 -E 75 "$fasthep_env_fd" 2>/dev/null || code=$?
    # other codes: no program flock, or no locks on this file system; then nobody can remove anything, either
    if [ "$code" -ne 75 ] && [ "/dev/fd/$fasthep_env_fd" -ef "$fasthep_env_dir" ]; then
        if fasthep_env_intact "$fasthep_env_dir"; then
            { : >|"$fasthep_env_dir/.used"; } 2>/dev/null
            return 0
        fi
        fasthep_env_damaged=yes
    fi
    exec {fasthep_env_fd}<&-
    return 1
}

# --- unpacking: everything below runs in a subshell, its standard output is the reason for code 3 ------------------------

fasthep_env_no_folder() { # the next folder may do
    printf '%s\n' "$1"
    exit 3
}

fasthep_env_give_up() {
    fasthep_env_say "environment \`$fasthep_env_name\`: $1"
    exit 1
}

# remove folders; also those that nobody may write to
fasthep_env_remove() {
    rm -rf -- "$@" 2>/dev/null || { chmod -R u+rwx -- "$@" && rm -rf -- "$@"; } 2>/dev/null
}

# move folder $1 away in one step, then remove it
fasthep_env_discard() {
    local trash=$fasthep_env_all/.trash.$HOSTNAME.$BASHPID.$RANDOM
    mv -T -- "$1" "$trash" && fasthep_env_remove "$trash"
}

fasthep_env_cleanup() {
    trap '' TERM INT HUP # signals come to all processes, some twice; what cleans up goes on
    [ -z "$fasthep_env_half" ] || fasthep_env_discard "$fasthep_env_half"
    [ -z "$fasthep_env_work" ] || fasthep_env_remove "$fasthep_env_work"
    fasthep_env_release
}

# identity of process $1 on this node: its start, and its namespace
fasthep_env_process() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # words of the line
    set -- ${line##*) }
    case $1 in Z | X) return 1 ;; esac
    echo "${20} $(readlink /proc/self/ns/pid)"
}

# one process of this user unpacks in a folder at a time
fasthep_env_acquire() {
    local code=0 silent=$((fasthep_env_timeout < 5 ? fasthep_env_timeout : 5))
    { exec {fasthep_env_lock}<"$fasthep_env_all"; } 2>/dev/null || fasthep_env_no_folder "it cannot be read"
    flock -x -w "$silent" -E 75 "$fasthep_env_lock" 2>/dev/null || code=$?
    if [ "$code" -eq 75 ]; then
        fasthep_env_say "waits until the environment is unpacked by $(fasthep_env_holder "$fasthep_env_all/.holder")"
        code=0
        flock -x -w "$((fasthep_env_timeout - silent))" -E 75 "$fasthep_env_lock" 2>/dev/null || code=$?
    fi
    case $code in
    0) ;;
    75) fasthep_env_too_long "$fasthep_env_all/.holder" ;;
    *) fasthep_env_acquire_folder ;; # no locks on this file system
    esac
    { echo "process $BASHPID on $HOSTNAME since $(date '+%F %T')" >"$fasthep_env_all/.holder"; } 2>/dev/null
}

fasthep_env_holder() {
    local holder=
    { read -r holder <"$1"; } 2>/dev/null
    echo "${holder:-another process}"
}

fasthep_env_too_long() {
    fasthep_env_give_up "another process has locked \`$fasthep_env_all\` for more than $fasthep_env_timeout s: $(fasthep_env_holder "$1")"
}

# a lock without flock: a folder, which exactly one process can make
fasthep_env_acquire_folder() {
    local lock=$fasthep_env_all/.lock said='' failed=0
    until mkdir -- "$lock" 2>/dev/null; do
        if [ ! -d "$lock" ]; then # it has been released since, or there is a reason
            failed=$((failed + 1))
            [ "$failed" -lt 100 ] || fasthep_env_no_folder "the lock \`$lock\` cannot be made"
            sleep 0.01
            continue
        fi
        failed=0
        if fasthep_env_is_dead "$lock"; then
            fasthep_env_discard "$lock" 2>/dev/null
            continue
        fi
        [ "$SECONDS" -lt "$fasthep_env_timeout" ] || fasthep_env_too_long "$lock/holder"
        if [ -z "$said" ] && [ "$SECONDS" -ge 5 ]; then
            fasthep_env_say "waits until the environment is unpacked by $(fasthep_env_holder "$lock/holder")"
            said=1
        fi
        sleep 0.2
    done
    fasthep_env_locked=$lock
    {
        echo "process $BASHPID on $HOSTNAME since $(date '+%F %T')"
        echo "$HOSTNAME"
        echo "$BASHPID"
        fasthep_env_process "$BASHPID"
    } 2>/dev/null >"$lock/holder"
}

# whether the process that made a lock is dead; on another node, whether the lock is older than the time-out
fasthep_env_is_dead() {
    local said='' host='' pid='' process='' own
    { read -r said && read -r host && read -r pid && read -r process; } 2>/dev/null <"$1/holder"
    own=$(fasthep_env_process "$BASHPID")
    if [ -n "$process" ] && [ "$host" = "$HOSTNAME" ] && [ "${process#* }" = "${own#* }" ]; then
        [ "$process" != "$(fasthep_env_process "$pid")" ]
    else # it was killed before it wrote who it is, or it is elsewhere
        [ -n "$(find "$1" -maxdepth 0 -mmin "+$(((fasthep_env_timeout + 59) / 60))" 2>/dev/null)" ]
    fi
}

fasthep_env_release() {
    [ -z "$fasthep_env_locked" ] || fasthep_env_remove "$fasthep_env_locked"
}

# remove what killed processes left: this process has the lock, so nobody needs it
fasthep_env_sweep() {
    local left
    for left in "$fasthep_env_all"/.unpack.* "$fasthep_env_all"/.trash.*; do
        [ ! -e "$left" ] || fasthep_env_remove "$left"
    done
    for left in "$fasthep_env_all"/*/; do
        left=${left%/}
        [ ! -d "$left" ] || [ -f "$left/.ready" ] || fasthep_env_discard "$left"
    done
}

# print free space: of what `df $1` counts, empty if it is not known
fasthep_env_free() {
    local line
    line=$(df -P "$1" -- "$fasthep_env_all" 2>/dev/null | tail -n 1)
    if [[ $line =~ ([0-9]+)[[:space:]]+[0-9]+% ]]; then echo "${BASH_REMATCH[1]}"; fi
}

# print the bytes of an environment that is unpacked
fasthep_env_size() {
    local format='' fingerprint='' size=
    { read -r format fingerprint size <"$1/.ready"; } 2>/dev/null
    echo "${size:-0}"
}

# what is missing so that the environment fits; empty if it does
fasthep_env_missing() {
    local free
    free=$(fasthep_env_free -k)
    if [ -n "$free" ] && [ $((free * 1024)) -lt "$fasthep_env_need" ]; then
        echo "it is too full: $fasthep_env_need bytes are needed, $((free * 1024)) are free"
        return
    fi
    free=$(fasthep_env_free -i)
    if [ -n "$free" ] && [ "$free" -lt "$fasthep_env_files" ]; then
        echo "it is too full: $fasthep_env_files files are needed, $free more are possible"
    fi
}

# make room: remove environments that are not in use, the least recently used first
fasthep_env_make_room() {
    local folder victim kept=$'\n' fd total=0 free missing
    free=$(fasthep_env_free -k)
    for folder in "$fasthep_env_all"/*/; do
        [ -d "$folder" ] && total=$((total + $(fasthep_env_size "${folder%/}")))
    done
    # if the removal of everything does not suffice, nothing is removed
    if [ -n "$free" ] && [ $((free * 1024 + total)) -lt "$fasthep_env_need" ]; then
        fasthep_env_no_folder "$(fasthep_env_missing)"
    fi
    while missing=$(fasthep_env_missing); [ -n "$missing" ] || [ $((total + fasthep_env_bytes)) -gt "$fasthep_env_limit" ]; do
        victim=
        for folder in "$fasthep_env_all"/*/; do
            folder=${folder%/}
            case $kept in *$'\n'"$folder"$'\n'*) continue ;; esac
            [ -d "$folder" ] || continue
            if [ -z "$victim" ] || [ "$folder/.used" -ot "$victim/.used" ]; then victim=$folder; fi
        done
        [ -n "$victim" ] || break
        kept=$kept$victim$'\n'
        { exec {fd}<"$victim"; } 2>/dev/null || continue
        if flock -x -n "$fd" 2>/dev/null; then
            total=$((total - $(fasthep_env_size "$victim")))
            fasthep_env_discard "$victim" && fasthep_env_say "removed $victim to make room: it was not in use"
        fi
        exec {fd}<&-
    done
    [ -z "$missing" ] || fasthep_env_no_folder "$missing"
}

# set fasthep_env_checksum to the faster of two commands; some systems have a sha256sum that does not use the CPU's instructions
fasthep_env_find_checksum() {
    local empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    fasthep_env_checksum=(openssl dgst -sha256 -r)
    case $("${fasthep_env_checksum[@]}" </dev/null 2>/dev/null) in "$empty "*) ;; *) fasthep_env_checksum=(sha256sum) ;; esac
}

# set fasthep_env_decompress to a command that decompresses
fasthep_env_find_program() {
    local python
    if [ "$fasthep_env_format" = gz ]; then
        fasthep_env_decompress=(gzip -dc)
        type -P gzip >/dev/null || fasthep_env_give_up "this node has no program \`gzip\`"
        return
    fi
    fasthep_env_decompress=(zstd -dcq)
    type -P zstd >/dev/null && return
    for python in python3 /usr/libexec/platform-python python; do
        fasthep_env_decompress=("$python" -c "$fasthep_env_unzstd")
        type -P "$python" >/dev/null && "${fasthep_env_decompress[@]}" check </dev/null >/dev/null 2>&1 && return
    done
    fasthep_env_give_up "this node has neither the program \`zstd\` nor a Python with a zstd module: set \`format: gz\` in \`environment\`"
}

# read the archive once: checksum, decompress, unpack into folder $1
fasthep_env_extract() {
    local report codes sum line first
    local -a limit=(timeout --foreground "$fasthep_env_timeout") options=(-x -p -o -f - -C "$1")
    # else a folder to which nobody may write is closed before its files are there
    case $(tar --version 2>/dev/null) in *"GNU tar"*) options+=(--delay-directory-restore) ;; esac
    # each reader reads to the end, so that the checksum is that of the whole file whatever fails
    report=$(
        {
            {
                "${limit[@]}" tee /dev/fd/3 <"$fasthep_env_archive" | {
                    "${fasthep_env_decompress[@]}" 3>&-
                    code=$?
                    cat >/dev/null
                    exit $code
                } | {
                    "${limit[@]}" tar "${options[@]}" 3>&-
                    code=$?
                    cat >/dev/null
                    exit $code
                }
                echo "fasthep_env_codes=${PIPESTATUS[*]}" >&4
            } 3>&1 >/dev/null | "${fasthep_env_checksum[@]}" | { read -r line _ && echo "fasthep_env_sum=$line" >&4; }
        } 4>&1 2>&1
    )
    codes=${report##*fasthep_env_codes=} codes=${codes%%$'\n'*}
    sum=${report##*fasthep_env_sum=} sum=${sum%%$'\n'*}
    case $codes in *124* | *137*) fasthep_env_give_up "it could not be unpacked within $fasthep_env_timeout s" ;; esac
    if [ "$sum" != "$fasthep_env_sha256" ]; then
        fasthep_env_give_up "the archive \`$fasthep_env_archive\` is damaged: its sha256 is $sum, $fasthep_env_sha256 was packed"
    fi
    [ "$codes" != "0 0 0" ] || return 0
    first=${report%%$'\n'*}
    case $report in
    *"No space left on device"* | *"Disk quota exceeded"*)
        fasthep_env_remove "$1"
        fasthep_env_no_folder "it became full: $fasthep_env_need bytes are needed, $(($(fasthep_env_free -k) * 1024)) are free"
        ;;
    *) fasthep_env_no_folder "the archive cannot be unpacked there: $first (codes $codes)" ;;
    esac
}

# run the Python of the environment in folder $1; print what it says if it fails
fasthep_env_python() {
    local said code=0
    cd -- "$1" && shift
    said=$(timeout --foreground "$fasthep_env_timeout" "$PWD/bin/python" "$@" </dev/null 2>&1) || code=$?
    said=${said##*$'\n'}
    case $code in
    0) return 0 ;;
    124) echo "its Python took more than $fasthep_env_timeout s" ;;
    *) echo "${said:-its Python ended without a message} (code $code)" ;;
    esac
    return 1
}

fasthep_env_prepare() {
    local said start=$SECONDS
    said=$(mkdir -p -- "$fasthep_env_all" 2>&1) || fasthep_env_no_folder "\`$fasthep_env_all\` cannot be made: ${said##*: }"
    fasthep_env_acquire
    if [ -d "$fasthep_env_dir" ]; then
        if [ -f "$fasthep_env_dir/.ready" ]; then # another process was faster, or the environment is damaged
            [ -n "$fasthep_env_damaged" ] && ! fasthep_env_intact "$fasthep_env_dir" || return 0
            fasthep_env_say "warning: files of $fasthep_env_dir were removed or changed, or it was moved: it is unpacked again"
        fi
        fasthep_env_discard "$fasthep_env_dir" || fasthep_env_no_folder "\`$fasthep_env_dir\` cannot be removed"
    fi
    fasthep_env_sweep
    [ -r "$fasthep_env_archive" ] || fasthep_env_give_up "the archive \`$fasthep_env_archive\` cannot be read"
    fasthep_env_find_program
    fasthep_env_find_checksum
    fasthep_env_make_room
    fasthep_env_work=$(mktemp -d "$fasthep_env_all/.unpack.XXXXXX" 2>/dev/null) || fasthep_env_no_folder "it cannot be written to, or it is full"
    if ! { printf '#!/bin/sh\n' >"$fasthep_env_work/try" && chmod 700 "$fasthep_env_work/try" && "$fasthep_env_work/try"; } 2>/dev/null; then
        fasthep_env_no_folder "programs cannot run there (it is mounted with noexec), or it is full"
    fi
    mkdir "$fasthep_env_work/prefix" || fasthep_env_no_folder "it is full"
    fasthep_env_extract "$fasthep_env_work/prefix"
    said=$(fasthep_env_python "$fasthep_env_work/prefix" -I -S .fasthep-parsl/relocate.py "$fasthep_env_dir") ||
        fasthep_env_no_folder "the environment does not work there: $said"
    fasthep_env_half=$fasthep_env_dir
    mv -T -- "$fasthep_env_work/prefix" "$fasthep_env_dir" || fasthep_env_no_folder "\`$fasthep_env_dir\` cannot be made"
    fasthep_env_remove "$fasthep_env_work" && fasthep_env_work=
    said=$(fasthep_env_python "$fasthep_env_dir" -I -c "$fasthep_env_verify" "$fasthep_env_dir") ||
        fasthep_env_give_up "it does not work on this node: $said"
    fasthep_env_finish || fasthep_env_no_folder "it cannot be written to, or it is full"
    fasthep_env_half=
    fasthep_env_say "unpacked the environment \`$fasthep_env_name\` into $fasthep_env_dir in $((SECONDS - start)) s"
}

# write .ready: from now on the environment counts
fasthep_env_finish() {
    local draft=$fasthep_env_dir/.ready.draft
    {
        : >"$draft" && : >"$fasthep_env_dir/.used" && : >"$fasthep_env_dir/.checked" &&
            printf '1 %s %s\n%s\n%s\n' "$(fasthep_env_fingerprint "$fasthep_env_dir" "$draft")" "$fasthep_env_bytes" \
                "$fasthep_env_dir" "sha256 $fasthep_env_sha256, on $HOSTNAME, $(date '+%F %T')" >"$draft" &&
            mv -T -- "$draft" "$fasthep_env_dir/.ready"
    } 2>/dev/null
}

fasthep_env_unpack() (
    trap - ERR
    # a second signal must not end the cleanup: a shell whose parent has died gets SIGHUP once more
    trap 'trap "" TERM INT HUP; exit 143' TERM INT HUP
    trap 'fasthep_env_cleanup >&2' EXIT
    set +efuC +o posix
    shopt -u nullglob failglob dotglob nocasematch
    unset CDPATH GLOBIGNORE TAR_OPTIONS GZIP POSIXLY_CORRECT
    IFS=$' \t\n'
    export LC_ALL=C
    umask 077
    SECONDS=0
    fasthep_env_half='' fasthep_env_work='' fasthep_env_locked=''
    fasthep_env_need=$((fasthep_env_bytes + 4096 * fasthep_env_files))
    fasthep_env_archive=$FASTHEP_PARSL_FILES/environment.tar
    fasthep_env_prepare
)

# --- the start --------------------------------------------------------------------------------------------------------

fasthep_env_start() {
    local folder code attempt reasons='' IFS=$' \t\n'
    fasthep_env_check_node && fasthep_env_find_folders || return 1
    for folder in "${fasthep_env_folders[@]}"; do
        if fasthep_env_check_folder "$folder"; then
            for attempt in 1 2 3; do
                if fasthep_env_open; then
                    [ -z "$reasons" ] || fasthep_env_say "warning: folders that cannot be used for the environment: ${reasons#; }"
                    return 0
                fi
                code=0
                fasthep_env_reason=$(fasthep_env_unpack) || code=$?
                [ "$code" -eq 0 ] || break
                fasthep_env_reason="others removed or locked the environment $attempt times"
            done
            case $code in
            0 | 3) ;;
            1) return 1 ;;
            *) fasthep_env_say "environment \`$fasthep_env_name\`: unpacking it ended with code $code" && return 1 ;;
            esac
        fi
        reasons="$reasons; $folder: $fasthep_env_reason"
    done
    fasthep_env_say "environment \`$fasthep_env_name\`: no folder of this node can be used: ${reasons#; }"
    return 1
}

fasthep_env_activate() {
    export FASTHEP_PARSL_PREFIX=$fasthep_env_dir FASTHEP_PARSL_ENVIRONMENT=$fasthep_env_hash
    export PATH="$fasthep_env_dir/bin${PATH:+:$PATH}" PYTHONNOUSERSITE=1
    unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
    if [ -n "$fasthep_env_library_path" ]; then
        export LD_LIBRARY_PATH="$fasthep_env_dir/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    fi
}

fasthep_env_code=1
fasthep_env_flags=$-
if fasthep_env_start; then
    fasthep_env_code=0
    fasthep_env_activate
    set +eu # scripts of packages expect this; not in a function, where `declare` would be local
    # shellcheck disable=SC1091
    . "$fasthep_env_dir/.fasthep-parsl/activate.sh"
    case $fasthep_env_flags in *e*) set -e ;; esac
    case $fasthep_env_flags in *u*) set -u ;; esac
    hash -r
fi
# shellcheck disable=SC2046 # names without blanks
unset -f $(compgen -A function fasthep_env_)
return "$fasthep_env_code"
