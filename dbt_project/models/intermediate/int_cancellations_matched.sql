-- A cancellation takes back that customer's most recent earlier purchases of that product first
-- (last in, first out); what exceeds all purchases so far was bought before the history starts
-- and is left unmatched.
--
-- The goods that a customer still holds of a product are a stack. Its height is the running sum of
-- quantities, reflected at zero: S_t - min(0, min of S up to t). A purchase lies between the height
-- before it and the height after it; of that, a later moment leaves what is below the lowest
-- height since. What a cancellation takes from a purchase is by how much less of it is left.

with lines as (

    select * from {{ ref('stg_orders__lines') }}
    where is_product and customer_id is not null

),

cancelled as (

    select distinct
        customer_id,
        product_id
    from lines
    where is_cancellation

),

events as (

    select
        lines.customer_id,
        lines.product_id,
        lines.ordered_on,
        lines.is_cancellation,
        lines.quantity,
        lines.unit_price,
        row_number() over (
            partition by lines.customer_id, lines.product_id
            order by
                lines.ordered_at,
                lines.is_cancellation,
                lines.order_id,
                lines.unit_price,
                lines.quantity
        ) as position
    from lines
    inner join cancelled
        on
            lines.customer_id = cancelled.customer_id
            and lines.product_id = cancelled.product_id
    where lines.is_purchase or lines.is_cancellation

),

sums as (

    select
        *,
        sum(quantity) over (
            partition by customer_id, product_id
            order by position
            rows between unbounded preceding and current row
        ) as running_quantity
    from events

),

heights as (

    select
        *,
        running_quantity - least(
            0,
            min(running_quantity) over (
                partition by customer_id, product_id
                order by position
                rows between unbounded preceding and current row
            )
        ) as height
    from sums

),

-- Heights fall at cancellations only, so these are all that the lowest height since depends on.
later_cancellations as (

    select
        purchases.customer_id,
        purchases.product_id,
        purchases.position as purchase_position,
        purchases.ordered_on as purchased_on,
        purchases.quantity as purchased_quantity,
        purchases.height as top,
        purchases.height - purchases.quantity as bottom,
        cancellations.position as cancellation_position,
        cancellations.ordered_on as cancelled_on,
        cancellations.unit_price,
        min(cancellations.height) over (
            partition by purchases.customer_id, purchases.product_id, purchases.position
            order by cancellations.position
            rows between unbounded preceding and current row
        ) as lowest_since
    from heights as purchases
    inner join heights as cancellations
        on
            purchases.customer_id = cancellations.customer_id
            and purchases.product_id = cancellations.product_id
            and purchases.position < cancellations.position
    where not purchases.is_cancellation and cancellations.is_cancellation

),

left_over as (

    select
        *,
        greatest(0, least(top, lowest_since) - bottom) as left_quantity
    from later_cancellations

),

taken as (

    select
        *,
        coalesce(
            lag(left_quantity) over (
                partition by customer_id, product_id, purchase_position
                order by cancellation_position
            ),
            purchased_quantity
        ) - left_quantity as taken_quantity
    from left_over

)

select
    customer_id,
    product_id,
    cancelled_on,
    purchased_on,
    cast(sum(taken_quantity) as bigint) as quantity,
    cast(sum(taken_quantity * unit_price) as decimal(18, 3)) as amount
from taken
where taken_quantity > 0
group by
    customer_id,
    product_id,
    cancelled_on,
    purchased_on
order by
    customer_id,
    product_id,
    cancelled_on,
    purchased_on
