// Print events as Redis publishes them. The client connects and subscribes again after a failure.
//
//	go mod init consumer && go get github.com/redis/go-redis/v9 && go run redis_consumer.go redis://localhost:6379 events
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
)

type event struct {
	Timestamp string          `json:"timestamp"`
	EventType string          `json:"event_type"`
	CameraID  string          `json:"camera_id"`
	EventData json.RawMessage `json:"event_data"`
}

func argument(number int, otherwise string) string {
	if len(os.Args) > number {
		return os.Args[number]
	}
	return otherwise
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options, err := redis.ParseURL(argument(1, "redis://localhost:6379"))
	if err != nil {
		log.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	subscriber := client.Subscribe(ctx, argument(2, "events"))
	defer subscriber.Close()
	messages := subscriber.Channel()
	for {
		select {
		case <-ctx.Done():
			return
		case message, open := <-messages:
			if !open {
				return
			}
			var received event
			if err := json.Unmarshal([]byte(message.Payload), &received); err != nil {
				log.Printf("not an event: %v", err)
				continue
			}
			fmt.Println(received.Timestamp, received.EventType, received.CameraID)
		}
	}
}
