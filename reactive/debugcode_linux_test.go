package reactive_test

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// With a real terminal as its input, as in the session that Juju opens, the hook
// stops.
func TestDebugCodeInTerminal(t *testing.T) {
	t.Parallel()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	defer keyboard.Close()
	must(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	must(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	defer terminal.Close()
	_, err = keyboard.WriteString("n\nc\n")
	must(t, err)
	printed, _, err := newBench(t).debug(t.Context(), t, "start", "all", terminal, web)
	must(t, err)
	if got, want := stops(printed), []string{"greet", "install"}; !slices.Equal(got, want) {
		t.Errorf("it stopped before %q, want %q\n%s", got, want, printed)
	}
}
