// Command peer is everything of the test cluster that is not Kubernetes itself, in one static binary: it is the only file
// of the pods' image.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

func main() {
	words := append(os.Args[1:], "", "", "")
	switch words[0] {
	case "become":
		become(os.Args[2:])
	case "pause":
		pause()
	case "web":
		web()
	case "client":
		client()
	case "pki":
		pki(words[1])
	case "image":
		image(words[1], words[2])
	default:
		fmt.Fprintln(os.Stderr, "peer become PROGRAM… | pause | web | client | pki FOLDER | image FILE NAME")
		os.Exit(2)
	}
}

// become turns into another program, which has nothing open of what we were started with but the three usual files: a lock
// or a pipe of whoever put the cluster up must not stay with it for as long as the cluster is there.
func become(words []string) {
	open, err := os.ReadDir("/proc/self/fd")
	fail(err)
	for _, it := range open {
		if fd, err := strconv.Atoi(it.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	fail(syscall.Exec(words[0], words, os.Environ()))
}

// pause holds a pod's namespaces. As the first process of the pod it also takes in what others leave behind.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for it := range signals {
		if it != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

var out sync.Mutex

// say writes one line of JSON.
func say(value any) {
	line, err := json.Marshal(value)
	fail(err)
	out.Lock()
	defer out.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
