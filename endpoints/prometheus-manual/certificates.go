package prometheusmanual

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"github.com/google/renameio/v2"
)

// A File is a certificate or key file that a job needs. It prints itself
// without its content.
type File struct {
	// Path is where the file belongs. Its name says what is in it, so a file
	// that is there is right, and what changes gets another name.
	Path string

	data []byte
}

// String returns the file's path.
func (f File) String() string { return f.Path }

// GoString is String, so that %#v shows no secret either.
func (f File) GoString() string { return f.Path }

// certificates checks what a request carries and plans its files in dir.
func certificates(job RemoteJob, dir string) ([]File, CertFiles, error) {
	var files []File
	var paths CertFiles
	request := digest(job.Relation + "\x00" + job.Unit + "\x00" + job.ID)
	plan := func(path *string, content, suffix string) {
		*path = filepath.Join(dir, request+"-"+digest(content)+suffix)
		files = append(files, File{Path: *path, data: []byte(content)})
	}
	if job.CACert != "" {
		if err := checkCA([]byte(job.CACert)); err != nil {
			return nil, paths, refuse(job.JobName, "ca_cert", "%v", err)
		}
		plan(&paths.CA, job.CACert, ".ca")
	}
	switch {
	case job.ClientCert != "" && job.ClientKey == "":
		return nil, paths, refuse(job.JobName, "client_key", "is missing: the request carries a client_cert")
	case job.ClientCert == "" && job.ClientKey != "":
		return nil, paths, refuse(job.JobName, "client_cert", "is missing: the request carries a client_key")
	case job.ClientCert != "":
		// The error of X509KeyPair tells of types and mismatches, never of
		// what is in the key.
		if _, err := tls.X509KeyPair([]byte(job.ClientCert), []byte(job.ClientKey)); err != nil {
			return nil, paths, refuse(job.JobName, "client_cert", "and client_key are no pair: %v", err)
		}
		plan(&paths.Cert, job.ClientCert, ".crt")
		plan(&paths.Key, job.ClientKey, ".key")
	}
	return files, paths, nil
}

// checkCA checks that text holds certificates in PEM form and nothing else.
func checkCA(text []byte) error {
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return errors.New("holds no certificate in PEM form")
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return errors.New("holds a PEM block that is no certificate")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return errors.New("holds a certificate that cannot be read")
		}
	}
	return nil
}

// digest is enough of a SHA-256 to name a file after its content.
func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:12])
}

// filesNamedIn returns those files whose path is somewhere in config.
func filesNamedIn(config any, files []File) []File {
	var named func(v any, path string) bool
	named = func(v any, path string) bool {
		switch v := v.(type) {
		case string:
			return v == path
		case []any:
			return slices.ContainsFunc(v, func(e any) bool { return named(e, path) })
		case map[string]any:
			for _, e := range v {
				if named(e, path) {
					return true
				}
			}
		}
		return false
	}
	return slices.DeleteFunc(files, func(f File) bool { return !named(config, f.Path) })
}

// CertDir is the directory in which the certificates of jobs are kept. It
// belongs to this package alone: files in it that no job needs are removed.
type CertDir struct {
	// Path is the directory, such as /etc/prometheus/juju-certs. Keep it out
	// of /tmp and /home, which a server started by systemd may not see.
	Path string

	// Group is the group as which the server runs, by name or number. If this
	// process runs as root, the directory and its files belong to root and
	// that group; otherwise, or if Group is empty, they are left to the user
	// that creates them.
	Group string
}

// Modes of the directory and of what is in it: for root and the server only.
const (
	dirMode  = 0o750
	fileMode = 0o640
)

// certName matches the names that certificates gives its files, and those of
// files whose writing was cut short.
const certName = `^\.?[0-9a-f]{24}-[0-9a-f]{24}\.(ca|crt|key)[0-9]*$`

// Write creates the directory and those of files that are not in it, each
// whole or not at all. It returns the paths of those it wrote; if all are
// there it writes nothing.
func (d CertDir) Write(files []File) (written []string, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	gid, err := lookupGroup(d.Group)
	if err != nil {
		return nil, err
	}
	if err := d.create(gid); err != nil {
		return nil, fmt.Errorf("cannot create certificate directory: %w", err)
	}
	for _, file := range files {
		if filepath.Dir(file.Path) != filepath.Clean(d.Path) {
			return written, fmt.Errorf("cannot write certificate file %s: it is not in %s", file.Path, d.Path)
		}
		if isFile(file.Path, file.data, gid) {
			continue
		}
		if err := writeFile(file.Path, file.data, gid); err != nil {
			return written, fmt.Errorf("cannot write certificate file: %w", err)
		}
		written = append(written, file.Path)
	}
	return written, nil
}

// Prune removes the certificate files in the directory that are not among
// files and returns their paths.
func (d CertDir) Prune(files []File) (removed []string, err error) {
	entries, err := os.ReadDir(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list certificate files: %w", err)
	}
	ours := regexp.MustCompile(certName)
	for _, entry := range entries {
		path := filepath.Join(d.Path, entry.Name())
		needed := slices.ContainsFunc(files, func(f File) bool { return f.Path == path })
		if needed || !ours.MatchString(entry.Name()) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("cannot remove certificate file: %w", err)
		}
		removed = append(removed, path)
	}
	return removed, nil
}

func (d CertDir) create(gid int) error {
	if err := os.MkdirAll(filepath.Dir(d.Path), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(d.Path, dirMode)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(d.Path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", d.Path)
	}
	if info.Mode().Perm() != dirMode {
		if err := os.Chmod(d.Path, dirMode); err != nil {
			return err
		}
	}
	if gid < 0 {
		return nil
	}
	return os.Lchown(d.Path, 0, gid)
}

// isFile reports whether the file is there as writeFile leaves it.
func isFile(path string, data []byte, gid int) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fileMode {
		return false
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && gid >= 0 && (owner.Uid != 0 || owner.Gid != uint32(gid)) {
		return false
	}
	current, err := os.ReadFile(path)
	return err == nil && bytes.Equal(current, data)
}

// writeFile replaces a file atomically by one that only its owner and group
// can read. A gid below zero leaves the group as it is.
func writeFile(path string, data []byte, gid int) error {
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithStaticPermissions(fileMode))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if gid >= 0 {
		if err := file.Chown(0, gid); err != nil {
			return err
		}
	}
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// lookupGroup returns the number of a group, and -1 if files cannot be given
// to it.
func lookupGroup(group string) (int, error) {
	if group == "" || os.Geteuid() != 0 {
		return -1, nil
	}
	if gid, err := strconv.Atoi(group); err == nil {
		return gid, nil
	}
	found, err := user.LookupGroup(group)
	if err != nil {
		return -1, fmt.Errorf("cannot find the server's group: %w", err)
	}
	return strconv.Atoi(found.Gid)
}
