package hooktool

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"
)

// LevelTrace is below slog.LevelDebug as Juju's TRACE is below its DEBUG.
const LevelTrace = slog.LevelDebug - 4

// A message is cut into calls of maxLogCall bytes, at most maxLogCalls of them.
const (
	maxLogCall  = 16 << 10
	maxLogCalls = 16
)

// Log writes a message to the model's log, with the Juju level at or below the
// one given: TRACE, DEBUG, INFO, WARNING or ERROR. It is written at once, and
// stays when the hook fails. A message of more than 16 KiB is written in
// parts; what is beyond 256 KiB is left out, and the last part says so. On
// executed tools other users of the machine may see it.
func (c *Client) Log(ctx context.Context, level slog.Level, message string) error {
	// An executed tool cannot be passed a NUL, nor Juju's log bad UTF-8.
	message = strings.ReplaceAll(strings.ToValidUTF8(message, "\uFFFD"), "\x00", "\uFFFD")
	for n := 1; ; n++ {
		part := message
		if len(part) > maxLogCall {
			part = cut(message, maxLogCall)
		}
		message = message[len(part):]
		if n == maxLogCalls && message != "" {
			part += fmt.Sprintf("… (%d bytes left out)", len(message))
			message = ""
		}
		if err := c.run(ctx, "juju-log", "-l", levelName(level), "--", part); err != nil {
			return fmt.Errorf("cannot log: %w", err)
		}
		if message == "" {
			return nil
		}
	}
}

// cut returns the first n bytes of s or less: whole lines, or else whole characters.
func cut(s string, n int) string {
	if i := strings.LastIndexByte(s[:n], '\n'); i > 0 {
		return s[:i+1]
	}
	for n > 1 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func levelName(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "TRACE"
	case level < slog.LevelInfo:
		return "DEBUG"
	case level < slog.LevelWarn:
		return "INFO"
	case level < slog.LevelError:
		return "WARNING"
	default:
		return "ERROR"
	}
}

// LogOptions are the options of NewLogHandler; the zero value works.
type LogOptions struct {
	// Level is the lowest level that is logged; nil is slog.LevelInfo. What the
	// model then keeps is up to its logging-config.
	Level slog.Leveler
	// ReplaceAttr is as in slog.HandlerOptions, but only for the attributes of
	// the message: time and source are Juju's, level and message are its own.
	ReplaceAttr func(groups []string, a slog.Attr) slog.Attr
	// Timeout is how long one message may take, 10 seconds when zero. Juju
	// runs one hook tool at a time, so a message waits for a slow one.
	Timeout time.Duration
}

// NewLogHandler returns a slog.Handler that writes by juju-log: the message,
// then the attributes as key=value, quoted where needed. A message is also
// written when its context has ended, since the reason is worth telling.
func NewLogHandler(c *Client, opts *LogOptions) slog.Handler {
	h := &logHandler{client: c}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Level == nil {
		h.opts.Level = slog.LevelInfo
	}
	if h.opts.Timeout <= 0 {
		h.opts.Timeout = 10 * time.Second
	}
	return h
}

type logHandler struct {
	client *Client
	opts   LogOptions
	with   []func(slog.Handler) slog.Handler // WithAttrs and WithGroup so far
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.opts.Level.Level()
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.and(func(text slog.Handler) slog.Handler { return text.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return h.and(func(text slog.Handler) slog.Handler { return text.WithGroup(name) })
}

func (h *logHandler) and(with func(slog.Handler) slog.Handler) slog.Handler {
	next := *h
	next.with = append(h.with[:len(h.with):len(h.with)], with)
	return &next
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	var attrs bytes.Buffer
	own := false // ReplaceAttr is called for the built-in level and message, in this order
	var text slog.Handler = slog.NewTextHandler(&attrs, &slog.HandlerOptions{
		Level: h.opts.Level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if own {
				own = a.Key != slog.MessageKey
				return slog.Attr{}
			}
			if h.opts.ReplaceAttr != nil {
				return h.opts.ReplaceAttr(groups, a)
			}
			return a
		},
	})
	for _, with := range h.with {
		text = with(text)
	}
	message, level := r.Message, r.Level
	own, r.Message, r.Time = true, "", time.Time{}
	if err := text.Handle(ctx, r); err != nil {
		return fmt.Errorf("cannot log: %w", err)
	}
	if line := bytes.TrimSuffix(attrs.Bytes(), []byte("\n")); len(line) > 0 {
		if message != "" {
			message += " "
		}
		message += string(line)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.opts.Timeout)
	defer cancel()
	return h.client.Log(ctx, level, message)
}
