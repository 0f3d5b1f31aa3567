package prometheusmanual_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/internal/certtest"
)

func TestCertDir(t *testing.T) {
	t.Parallel()
	dir := prometheusmanual.CertDir{Path: filepath.Join(t.TempDir(), "etc", "certs")}
	ca := certtest.New(t)
	cert, key := ca.Issue(t, "prometheus")
	accept := func(caPEM string) []prometheusmanual.File {
		job := jobWith(nil)
		job.CACert, job.ClientCert, job.ClientKey = caPEM, cert, key
		scrape, err := prometheusmanual.Policy{}.Accept(job, prometheusmanual.Global{}, dir.Path)
		if err != nil {
			t.Fatal(err)
		}
		return scrape.Files
	}
	first := accept(ca.PEM)
	written, err := dir.Write(first)
	if err != nil || len(written) != 3 {
		t.Fatalf("written %v, %v", written, err)
	}
	keys := 0
	for _, path := range written {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) == key && strings.HasSuffix(path, ".key") {
			keys++
		}
	}
	if keys != 1 {
		t.Errorf("the key is in %d of %v", keys, written)
	}
	if again, err := dir.Write(first); err != nil || len(again) != 0 {
		t.Errorf("written again %v, %v", again, err)
	}

	// A file that others can read, or that holds something else, is replaced.
	if err := os.Chmod(written[0], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(written[1], []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	if mended, err := dir.Write(first); err != nil || !slices.Equal(mended, written[:2]) {
		t.Errorf("mended %v, %v", mended, err)
	}

	// Another authority is another file; the old one goes, and what is not ours
	// stays.
	stranger := filepath.Join(dir.Path, "README")
	leftover := filepath.Join(dir.Path, "."+filepath.Base(written[0])+"123")
	for _, path := range []string{stranger, leftover} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := accept(certtest.New(t).PEM)
	if written, err = dir.Write(second); err != nil || len(written) != 1 {
		t.Errorf("written %v, %v", written, err)
	}
	removed, err := dir.Prune(second)
	if err != nil || len(removed) != 2 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Error(err)
	}
	if removed, err = dir.Prune(nil); err != nil || len(removed) != 3 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if _, err := (prometheusmanual.CertDir{Path: t.TempDir()}).Write(first); err == nil {
		t.Error("files of another directory are written")
	}
	if removed, err := (prometheusmanual.CertDir{Path: "/does/not/exist"}).Prune(nil); err != nil || removed != nil {
		t.Errorf("nothing to remove: %v, %v", removed, err)
	}
}

func TestCertDirGroup(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to a group")
	}
	dir := prometheusmanual.CertDir{Path: filepath.Join(t.TempDir(), "certs"), Group: "daemon"}
	job := jobWith(nil)
	job.CACert = certtest.New(t).PEM
	scrape, err := prometheusmanual.Policy{}.Accept(job, prometheusmanual.Global{}, dir.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Write(scrape.Files); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir.Path, scrape.Files[0].Path} {
		if uid, gid := owner(t, path); uid != 0 || gid != 1 {
			t.Errorf("%s belongs to %d:%d", path, uid, gid)
		}
	}
	dir.Group = "no such group"
	if _, err := dir.Write(scrape.Files); err == nil {
		t.Error("a group that does not exist is accepted")
	}
}

func owner(t *testing.T, path string) (uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Uid, stat.Gid
}
