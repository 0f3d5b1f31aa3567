package haproxy

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxAnswer bounds what is read of an answer: states of some 100,000 servers.
const maxAnswer = 64 << 20

// socket is HAProxy's command line on a unix socket.
type socket struct{ path string }

// do sends one command and returns its answer. HAProxy closes the connection
// after it; in a reload, without any answer.
func (s socket) do(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", s.path)
	if err != nil {
		return "", err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	_, err = io.WriteString(c, command+"\n")
	if err == nil {
		// Else the master waits for more.
		err = c.(*net.UnixConn).CloseWrite()
	}
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(io.LimitReader(c, maxAnswer))
	}
	if e := ctx.Err(); e != nil {
		return "", e
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer)), nil
}

// A process is a line of "show proc".
type process struct {
	pid int
	old bool
}

// status is what the master says of itself and its workers, current first.
type status struct {
	reloads, failed int
	workers         []process
}

// busy is how long a master may be away. While it replaces itself in a reload,
// connections to it are refused, reset, or end without an answer.
const busy = 3 * time.Second

// status asks the master. The error is at once if it does not run.
func (b *backend) status(ctx context.Context) (status, error) {
	for deadline := time.Now().Add(busy); ; {
		text, err := b.master.do(ctx, "show proc")
		if errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			return status{}, err
		}
		if errors.Is(err, syscall.ECONNREFUSED) && !b.alive() {
			return status{}, err
		}
		var st status
		if err == nil {
			st, err = parseProcs(text)
		}
		if err == nil && len(st.workers) > 0 {
			return st, nil
		}
		if time.Now().After(deadline) {
			if err == nil {
				err = errors.New("HAProxy has no workers")
			}
			return status{}, err
		}
		if err := pause(ctx); err != nil {
			return status{}, err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Millisecond):
		return nil
	}
}

// parseProcs reads the answer to "show proc".
func parseProcs(text string) (status, error) {
	var st status
	old, seen := false, false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			old = strings.HasPrefix(line, "# old workers")
			continue
		}
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		pid, err := strconv.Atoi(f[0])
		if err != nil {
			return st, fmt.Errorf("cannot read HAProxy's processes: %.100q", line)
		}
		switch f[1] {
		case "master":
			seen = true
			if st.reloads, err = strconv.Atoi(f[2]); err != nil {
				return st, fmt.Errorf("cannot read HAProxy's processes: %.100q", line)
			}
			if len(f) > 4 && f[3] == "[failed:" {
				if st.failed, err = strconv.Atoi(strings.TrimSuffix(f[4], "]")); err != nil {
					return st, fmt.Errorf("cannot read HAProxy's processes: %.100q", line)
				}
			}
		case "worker":
			st.workers = append(st.workers, process{pid, old})
		}
	}
	if !seen {
		return st, fmt.Errorf("cannot read HAProxy's processes: no master in %.200q", text)
	}
	return st, nil
}

// worker sends a command to one worker by way of the master.
func (b *backend) worker(ctx context.Context, pid int, command string) (string, error) {
	for deadline := time.Now().Add(busy); ; {
		text, err := b.master.do(ctx, fmt.Sprintf("@!%d %s", pid, command))
		away := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
		if !away || time.Now().After(deadline) {
			return text, err
		}
		if err := pause(ctx); err != nil {
			return "", err
		}
	}
}

// running returns the identity of the configuration that a worker runs.
func (b *backend) running(ctx context.Context, pid int) (string, error) {
	text, err := b.worker(ctx, pid, "show info")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "Description:"); ok {
			return strings.TrimSpace(v), nil
		}
		if v, ok := strings.CutPrefix(line, "description:"); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", nil
}

// server is a line of "show servers state".
type server struct {
	backend, name string
	addr          netip.Addr
	// maint says that it takes no new traffic by an administrator's word.
	maint bool
	// drained is the state that still takes persistent clients.
	drained bool
}

// Bits of srv_admin_state. That a server is "disabled" in the configuration sets
// the first one and another, which only remembers where it came from.
const (
	adminMaint = 0x01
	adminDrain = 0x08
)

// parseServers reads the answer to "show servers state".
func parseServers(text string) ([]server, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 2 || strings.TrimSpace(lines[0]) != "1" {
		return nil, fmt.Errorf("cannot read HAProxy's servers: %.100q", text)
	}
	columns := map[string]int{}
	for i, c := range strings.Fields(strings.TrimPrefix(lines[1], "#")) {
		columns[c] = i
	}
	var out []server
	for _, line := range lines[2:] {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		get := func(name string) string {
			if i, ok := columns[name]; ok && i < len(f) {
				return f[i]
			}
			return ""
		}
		admin, err := strconv.ParseUint(get("srv_admin_state"), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("cannot read HAProxy's servers: %.200q", line)
		}
		addr, _ := netip.ParseAddr(get("srv_addr"))
		out = append(out, server{backend: get("be_name"), name: get("srv_name"), addr: addr,
			maint: admin&adminMaint != 0, drained: admin&adminDrain != 0})
	}
	return out, nil
}

func (b *backend) servers(ctx context.Context, w process) ([]server, error) {
	text, err := b.worker(ctx, w.pid, "show servers state")
	if err != nil || (w.old && (text == "" || gone(text))) {
		return nil, err
	}
	return parseServers(text)
}

// A stat is what "show stat" says of a server.
type stat struct {
	backend, server string
	sessions        int
	// down is why the server is down, "" if it is not.
	down string
}

// parseStats reads the answer to "show stat", of which servers count.
func parseStats(text string) ([]stat, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# ")))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("cannot read HAProxy's statistics: %w", err)
	}
	if len(rows) == 0 {
		return nil, errors.New("cannot read HAProxy's statistics: empty")
	}
	columns := map[string]int{}
	for i, c := range rows[0] {
		columns[c] = i
	}
	for _, c := range []string{"pxname", "svname", "scur"} {
		if _, ok := columns[c]; !ok {
			return nil, fmt.Errorf("cannot read HAProxy's statistics: there is no column %s", c)
		}
	}
	var stats []stat
	for _, row := range rows[1:] {
		get := func(column string) string {
			if i, ok := columns[column]; ok && i < len(row) {
				return row[i]
			}
			return ""
		}
		s := stat{backend: get("pxname"), server: get("svname")}
		if s.server == "FRONTEND" || s.server == "BACKEND" {
			continue
		}
		if s.sessions, err = strconv.Atoi(get("scur")); err != nil {
			continue // empty for listeners and the like
		}
		if strings.HasPrefix(get("status"), "DOWN") {
			s.down = strings.Join(strings.Fields(get("check_desc")+" "+get("check_code")), " ")
			if s.down == "" {
				s.down = "down"
			}
		}
		stats = append(stats, s)
	}
	return stats, nil
}

// gone reports whether an error is that of a worker that has ended meanwhile.
func gone(answer string) bool {
	return strings.Contains(answer, "Can't find the target") || strings.Contains(answer, "Can't connect to the target")
}

// command sends a command that answers nothing when it has worked.
func (b *backend) command(ctx context.Context, pid int, command string) error {
	answer, err := b.worker(ctx, pid, command)
	if err != nil {
		return err
	}
	if answer != "" && !gone(answer) && !strings.Contains(answer, "No such server") && !strings.Contains(answer, "No such backend") && !strings.Contains(answer, "No such session") {
		return fmt.Errorf("HAProxy answers %q to %q", firstLine(answer), firstLine(command))
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line[:min(len(line), 300)]
}

// cutOld ends the sessions that a worker from before a reload still has with a
// server. What it has to do with servers it does not take orders for any more.
func (b *backend) cutOld(ctx context.Context, pid int, backend, server string) error {
	text, err := b.worker(ctx, pid, "show sess")
	if err != nil {
		return err
	}
	for _, id := range parseSessionIDs(text, backend, server) {
		if err := b.command(ctx, pid, "shutdown session "+id); err != nil {
			return err
		}
	}
	return nil
}

// parseSessionIDs reads the answer to "show sess" and returns the sessions with
// a server.
func parseSessionIDs(text, backend, server string) []string {
	var ids []string
	for line := range strings.Lines(text) {
		id, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || !strings.HasPrefix(id, "0x") {
			continue
		}
		f := strings.Fields(rest)
		if slices.Contains(f, "be="+backend) && slices.Contains(f, "srv="+server) {
			ids = append(ids, id)
		}
	}
	return ids
}

// setCert puts a certificate into force in the current worker.
func (b *backend) setCert(ctx context.Context, path string, pem []byte) error {
	stats := socket{b.o.StatsSocket}
	// An empty line ends what is sent; PEM made by this package has none.
	set := fmt.Sprintf("set ssl cert %s <<\n%s\n", path, bytes.TrimSpace(pem))
	answer, err := stats.do(ctx, set)
	if err != nil {
		return err
	}
	if !strings.Contains(answer, "Transaction created") && !strings.Contains(answer, "Transaction updated") {
		return refusedCert(path, answer)
	}
	answer, err = stats.do(ctx, "commit ssl cert "+path)
	if err == nil && !strings.Contains(answer, "Success!") {
		err = refusedCert(path, answer)
	}
	if err != nil {
		_, _ = stats.do(ctx, "abort ssl cert "+path)
	}
	return err
}

// servedCert returns the SHA-1 fingerprint of the certificate in force, in
// upper case hexadecimal, or "".
func (b *backend) servedCert(ctx context.Context, path string) (string, error) {
	answer, err := socket{b.o.StatsSocket}.do(ctx, "show ssl cert "+path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(answer) {
		if v, ok := strings.CutPrefix(line, "SHA1 FingerPrint:"); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", nil
}
